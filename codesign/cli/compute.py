"""``codesign compute``: the outputs of a graph of tensors."""

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import Executor, Json
from codesign.cli.output import Output, progress, write_json


def compute(
    model: Annotated[str, typer.Argument(help="An .onnx file, or IR of generic operators.", show_default=False)],
    inputs: Annotated[
        Path, typer.Option(help="An .npz file: an array for each input of the graph.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write the outputs, as .npz.", show_default=False),
    ] = None,
    executor: Executor = None,
    json: Json = False,
) -> None:
    """Compute what a graph gives of arrays, both by the names of its inputs and outputs.

    The types and shapes of the outputs are printed, with the least and the largest value of each.
    """
    from codesign import api
    from codesign.arrays import read_arrays, write_arrays

    with progress(f"computing {model}"):
        outputs = api.compute(api.load_graph(model), read_arrays(inputs), executor=executor)
    if output is not None:
        write_arrays(output, outputs)
    summary = {
        name: {
            "type": str(array.dtype),
            "shape": list(array.shape),
            "least": float(array.min()) if array.size else None,
            "largest": float(array.max()) if array.size else None,
        }
        for name, array in outputs.items()
    }
    if json:
        write_json({"outputs": summary, "output": None if output is None else str(output)})
        return
    for name, array in outputs.items():
        span = f", {array.min()} to {array.max()}" if array.size else ""
        Output().line(f"{name}: {array.dtype}{list(array.shape)}{span}")
