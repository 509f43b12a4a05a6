"""``codesign export``: a program as a file that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Json, Model, Pipeline
from codesign.cli.output import note, progress, write_json


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="What to write: a folder, for safetensors, or a .gguf or .onnx file.",
            show_default=False,
        ),
    ],
    pipeline: Pipeline = "",
    json: Json = False,
) -> None:
    """Write a model as a file that other tools read.

    The name of the output says which: a folder is one of Hugging Face, with safetensors; *.gguf is a file that
    llama.cpp runs; *.onnx is the step with its layers unrolled, its weights beside it. Weights are written as the
    passes left them.
    """
    from codesign import api

    with progress(f"exporting {model}"):
        exported = api.export(api.compile(api.load_model(model), None, pipeline), output)
    for remark in exported.remarks:
        note(remark)
    if json:
        write_json(exported.to_dict())
        return
    note(f"wrote {exported.nbytes} bytes to {exported.path}")
