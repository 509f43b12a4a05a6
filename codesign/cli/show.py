"""``codesign show``: one thing in full."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Json
from codesign.cli.output import Output, note, write_json
from codesign.errors import UsageError, nearest

Shown = tuple[Mapping[str, object], str]
"""A JSON document, and the same to read."""


class Kind(StrEnum):
    """What can be shown."""

    CHIP = "chip"
    MODEL = "model"
    PASS = "pass"


def show_one(
    kind: Annotated[Kind, typer.Argument(help="What it is.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Its name; for a chip or a model also a file.", show_default=False)],
    tree: Annotated[bool, typer.Option("--tree", help="Show a chip as a tree of its blocks.")] = False,
    svg: Annotated[
        Path | None, typer.Option(help="Write the block diagram of a chip to this file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show a chip, a model or a pass.

    A chip as IR, a model by its tensors, a pass by what it does and its options.
    """
    if kind is not Kind.CHIP and (tree or svg is not None):
        raise UsageError(f"--tree and --svg draw chips, not a {kind.value}")
    document, text = _KINDS[kind](name)
    if tree or svg is not None:
        from codesign import api
        from codesign.files import write_whole
        from codesign.report.blocks import blocks_of
        from codesign.report.diagram import diagram

        blocks = blocks_of(api.load_chip(name))
        if tree:
            text = blocks.tree()
        if svg is not None:
            write_whole(svg, diagram(blocks))
            note(f"{svg} written")
    if json:
        write_json(document)
    else:
        Output().write(f"{text}\n")


def _chip(name: str) -> Shown:
    from codesign import api

    chip = api.load_chip(name)
    return {"name": chip.name, "chips": chip.chips, "path": chip.origin, "ir": str(chip)}, str(chip)


def _model(name: str) -> Shown:
    from math import prod

    from codesign import api

    program = api.load_model(name)
    types = {symbol: parameter.type for symbol, parameter in program.parameters.items()}
    parameters = sum(prod(type.get_shape()) for type in types.values())
    source = None if program.source is None else str(program.source)
    document = {
        "name": program.name,
        "weights": source,
        "parameters": parameters,
        "stop_tokens": list(program.stop_tokens),
        "tensors": {symbol: str(type) for symbol, type in types.items()},
    }
    lines = [f"{program.name}: {parameters:,} parameters, {f'weights in {source}' if source else 'without weights'}"]
    return document, "\n".join(lines + [f"  @{symbol}: {type}" for symbol, type in types.items()])


def _pass(name: str) -> Shown:
    from xdsl.passes import get_pass_option_infos

    from codesign.plugins.manager import plugins

    known = plugins().passes()
    if name not in known:
        raise UsageError(f"no pass is called '{name}'.{nearest(name, known)}")
    found = known[name]()
    description, options = cleandoc(found.__doc__ or ""), get_pass_option_infos(found)
    document = {
        "name": name,
        "description": description,
        "options": {option.name: {"type": option.expected_type, "default": option.default_value} for option in options},
    }
    lines = [name, "", description, ""]
    lines += [f"  {option.name}: {option.expected_type} = {option.default_value or 'required'}" for option in options]
    return document, "\n".join(lines)


_KINDS: Mapping[Kind, Callable[[str], Shown]] = {Kind.CHIP: _chip, Kind.MODEL: _model, Kind.PASS: _pass}
