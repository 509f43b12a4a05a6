"""Writes docs/reference.md from the code: `python docs/reference.py`. A test compares the two."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from xdsl.ir import Dialect
from xdsl.passes import get_pass_option_infos

from codesign.chips import read_chip
from codesign.plugins.manager import plugins
from codesign.units.machine import Machine
from codesign_dialects.chip.parameter import parameters
from codesign_dialects.chip.part import PartOp
from codesign_dialects.encoding import ENCODINGS, NUMBER_FORMATS
from codesign_dialects.universe import DIALECTS

PAGE = Path(__file__).parent / "reference.md"


def reference() -> str:
    """The page."""
    return "\n".join([*_passes(), *_formats(), *_units(), *_dialects()]) + "\n"


def _passes() -> Iterator[str]:
    yield from ("# Reference", "", "Written by `docs/reference.py`; change the code instead.", "", "## Passes", "")
    for name, load in sorted(plugins().passes().items()):
        pass_type = load()
        yield from (f"### `{name}`", "", inspect.getdoc(pass_type) or "", "")
        options = get_pass_option_infos(pass_type)
        if options:
            yield from ("| option | type | default |", "|---|---|---|")
            for option in options:
                kind = option.expected_type.replace("|", " or ")
                yield f"| `{option.name.replace('_', '-')}` | {kind} | {option.default_value or ''} |"
            yield ""


def _formats() -> Iterator[str]:
    yield from ("## Number formats", "", "`intN` and `uintN` for N from 1 to 64, and:", "")
    yield from ("| name | kind | bits | exponent | mantissa |", "|---|---|---|---|---|")
    for number in NUMBER_FORMATS.values():
        yield f"| `{number.name}` | {number.kind} | {number.bits} | {number.exponent} | {number.mantissa} |"
    yield from ("", "Encodings with a name of their own:", "", "| name | stores | bits a value |", "|---|---|---|")
    for name, encoding in ENCODINGS.items():
        yield f"| `{name}` | `{encoding.structure()}` | {encoding.bits((1, 256)) / 256:g} |"
    yield ""


def _units() -> Iterator[str]:
    machine = Machine.of(read_chip(plugins().chips()["edge"]).design)
    note = "Command fields as on the chip `edge`, from the lowest bit; a register can be added to those marked ·."
    yield from ("## Units", "", note, "")
    for unit in plugins().units().values():
        yield from (f"### `{unit.name}`", "", f"{unit.description}. On queue `{unit.queue}`.", "")
        yield from ("| field | bits | meaning |", "|---|---|---|")
        for field in unit.fields(machine):
            yield f"| {field.name}{' ·' * field.indexed} | {field.bits} | {field.meaning} |"
        yield ""


def _dialects() -> Iterator[str]:
    for name, load in DIALECTS.items():
        dialect: Dialect = load()
        yield from (f"## Dialect `{name}`", "")
        for operation in dialect.operations:
            yield from (f"### `{operation.name}`", "", inspect.getdoc(operation) or "", "")
            if issubclass(operation, PartOp):
                yield from ("| parameter | is | form |", "|---|---|---|")
                for key, parameter in parameters(operation.RECORD).items():
                    yield f"| `{key}` | {parameter.doc} | {parameter.form} |"
                yield ""
        for attribute in dialect.attributes:
            yield from (f"### `{attribute.name}`", "", inspect.getdoc(attribute) or "", "")


if __name__ == "__main__":
    PAGE.write_text(reference())
