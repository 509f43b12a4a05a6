"""``codesign opt``: IR in, passes applied, IR out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Chip, Json, Pipeline
from codesign.cli.output import Output, progress, write_json
from codesign.errors import CodesignError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.passes import ModulePass


def opt(
    source: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A file of IR; - is stdin.", show_default=False)
    ] = "-",
    pipeline: Pipeline = "",
    chip: Chip = None,
    print_ir_after_all: Annotated[bool, typer.Option(help="Print the IR after each pass, on stderr.")] = False,
    json: Json = False,
) -> None:
    """Apply passes to IR."""
    from codesign import api
    from codesign.ir import parse_module
    from codesign.plugins.manager import plugins
    from codesign.program import Program

    after: list[dict[str, str]] = []

    def record(done: "ModulePass", module: "ModuleOp") -> None:
        if not print_ir_after_all:
            return
        after.append({"pass": str(done), "ir": str(module)})
        if not json:
            Output(stderr=True).write(f"// IR after {done}\n{module!s}\n\n")

    with progress("applying passes"):
        program = Program(parse_module(_read(source), source, plugins().context()))
        target = None if chip is None else api.load_chip(chip)
        result = api.compile(program, target, pipeline, after=record)
    if json:
        write_json({"ir": str(result), **({"after": after} if print_ir_after_all else {})})
        return
    Output().write(f"{result}\n")


def _read(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CodesignError(f"{source}: IR is UTF-8 text; byte {error.start} is not") from error
    except OSError as error:
        raise CodesignError(f"{source}: cannot be read: {error.strerror}") from error
