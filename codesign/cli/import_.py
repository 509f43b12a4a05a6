"""``codesign import``: a model file as IR."""

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Json
from codesign.cli.output import Output, note, progress, write_json


def import_model(
    source: Annotated[
        str,
        typer.Argument(
            help="A model of the library, a Hugging Face folder or its config.json, a .gguf, an .onnx or a .pt2 file.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write the IR; stdout when not given.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Turn a model file into IR.

    The weights stay where they are; the IR names them.
    """
    from codesign import api

    with progress(f"reading {source}"):
        program = api.load_model(source)
    if output is not None:
        api.save(program, output)
    if json:
        document = {"model": program.name, "weights": None if program.source is None else str(program.source)}
        write_json(document | ({"ir": str(program)} if output is None else {"output": str(output)}))
    elif output is None:
        Output().write(f"{program}\n")
    else:
        note(f"wrote {program.name} to {output}")
