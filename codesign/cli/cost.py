"""``codesign cost``: what a request costs on a chip."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from codesign.cli.options import Json, Model, Pipeline
from codesign.cli.output import Output, note, progress, quantity, write_json

if TYPE_CHECKING:
    from rich.table import Table

Document = Mapping[str, object]

_ROWS = (
    ("time to first token", "ttft_s", "s"),
    ("time per token", "tpot_s", "s"),
    ("tokens/s", "tokens_per_second", ""),
    ("energy per token", "energy_per_token_j", "J"),
    ("power", "power_w", "W"),
    ("area", "area_mm2", "mm²"),
    ("USD per million tokens", "usd_per_million_tokens", ""),
)
_UNPREFIXED = {"", "mm²"}


def cost(
    model: Model,
    chip: Annotated[
        list[str],
        typer.Option(help="A chip of the library, or an .mlir file; give several to compare.", show_default=False),
    ],
    chips: Annotated[int, typer.Option(help="How many of the chip work together.")] = 1,
    stages: Annotated[
        int, typer.Option(help="Stages of a pipeline they form; the chips of a stage share its layers.")
    ] = 1,
    pipeline: Pipeline = "",
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    input: Annotated[int, typer.Option(help="Prompt tokens a sequence.")] = 512,
    output: Annotated[int, typer.Option(help="Generated tokens a sequence.")] = 128,
    json: Json = False,
) -> None:
    """Price a request on one or several chips."""
    from codesign import api
    from codesign.workload import Workload

    workload = Workload(batch, input, output)
    documents: list[Document] = []
    with progress("pricing"):
        program = api.load_model(model)
        for name in chip:
            compiled = api.compile(program, api.load_chip(name), pipeline)
            documents.append(api.cost(compiled, workload, chips=chips, stages=stages).to_dict())
    if json:
        write_json(documents[0] if len(documents) == 1 else {"results": documents})
        return
    Output().show(price_table(documents))
    note(f"{program.name}, batch {batch}, {input} tokens in, {output} out")


def price_table(documents: Sequence[Document]) -> "Table":
    """Prices side by side, a column for each chip."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for document in documents:
        count = cast(int, document["chips"])
        table.add_column(f"{count} {document['chip']}" if count > 1 else str(document["chip"]), justify="right")
    for title, key, unit in _ROWS:
        figures = [cast("float | None", document[key]) for document in documents]
        table.add_row(title, *(quantity(figure, unit, prefixes=unit not in _UNPREFIXED) for figure in figures))
    table.add_row("bound by", *(str(document["bound"]) for document in documents))
    return table
