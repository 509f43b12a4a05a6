"""``codesign emit``: a chip as Verilog."""

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Json, Model, Pipeline, Prompt, Tokens, prompt_of
from codesign.cli.output import note, progress, write_json


def emit(
    model: Model,
    chip: Annotated[str, typer.Option(help="A chip of the library, or an .mlir file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", show_default=False)],
    pipeline: Pipeline = "",
    prompt: Prompt = None,
    tokens: Tokens = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens that the testbench lets the chip generate.")] = 32,
    json: Json = False,
) -> None:
    """Write a chip as SystemVerilog.

    With it come the microcode by which the chip generates text, the image of its memory, and a testbench that continues
    the prompt. The folder simulates without Python; `codesign simulate` runs it.
    """
    start = prompt_of(prompt, tokens)
    from codesign import api

    with progress(f"emitting {chip}"):
        program = api.compile(api.load_model(model), api.load_chip(chip), pipeline)
        folder = api.emit(program, output, prompt=start, max_tokens=max_tokens)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if json:
        write_json({"directory": str(folder), "files": files})
        return
    note(f"wrote {len(files)} files to {folder}; run `codesign simulate {folder}`")
