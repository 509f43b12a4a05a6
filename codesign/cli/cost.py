"""``codesign cost``: what a request costs on a chip."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Annotated, cast

import typer

from codesign.cli.options import Json, Model, Pipeline
from codesign.cli.output import Output, note, progress, quantity, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from codesign.plan import Pools
    from codesign.speculation import Draft

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
    chips: Annotated[
        int | None,
        typer.Option(help="How many of the chip work together; as many as the degrees need.", show_default=False),
    ] = None,
    tensor: Annotated[
        int | None, typer.Option(help="Chips that share each layer; the fastest if not given.", show_default=False)
    ] = None,
    sequence: Annotated[
        int | None, typer.Option(help="Parts of each sequence's keys and values, likewise.", show_default=False)
    ] = None,
    data: Annotated[
        int | None, typer.Option(help="Replicas that share the batch, likewise.", show_default=False)
    ] = None,
    stages: Annotated[int | None, typer.Option(help="Stages of a pipeline, likewise.", show_default=False)] = None,
    expert: Annotated[
        int | None, typer.Option(help="Chips over which whole experts stand, likewise.", show_default=False)
    ] = None,
    pipeline: Pipeline = "",
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    input: Annotated[int, typer.Option(help="Prompt tokens a sequence.")] = 512,
    output: Annotated[int, typer.Option(help="Generated tokens a sequence.")] = 128,
    chunk: Annotated[
        int | None, typer.Option(help="Prompt tokens a step at most; all at once if not given.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Requests in flight at a server that batches continuously: one comes when another is answered.",
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="Serving software that samples the tokens, such as vllm-0.11; sampled at no cost if not given.",
            show_default=False,
        ),
    ] = None,
    prefill_chips: Annotated[
        int | None,
        typer.Option(
            help="Chips that work on prompts alone, apart from those that generate; needs --concurrency.",
            show_default=False,
        ),
    ] = None,
    decode_chips: Annotated[
        int | None,
        typer.Option(help="Chips that generate from the caches of those.", show_default=False),
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Divide --chips into two such pools, as is fastest.")
    ] = False,
    draft: Annotated[
        str | None,
        typer.Option(
            help="A model that drafts tokens for the other to verify; with the same passes, on the same chips.",
            show_default=False,
        ),
    ] = None,
    draft_tokens: Annotated[
        int | None, typer.Option(help="Tokens drafted before they are verified in one step.", show_default=False)
    ] = None,
    acceptance: Annotated[
        float | None, typer.Option(help="Share of drafted tokens that are accepted.", show_default=False)
    ] = None,
    token_price: Annotated[
        float | None,
        typer.Option(
            help="US dollars a million tokens sell for: adds how many chips pay for a chip's development.",
            min=0,
            show_default=False,
        ),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(
            help="A spec, `ideal` or a .toml file: tells which of its lines each chip meets.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Price a request on one or several chips.

    A result that the chip's assumed figures leave open is shown with its interval.
    """
    from codesign import api
    from codesign.specs import load_spec
    from codesign.workload import Workload

    wanted = None if spec is None else load_spec(spec)
    workload = Workload(batch, input, output, chunk, concurrency, server)
    pools = _pools(chips, prefill_chips, decode_chips, separate)
    drafted = _drafted(draft, draft_tokens, acceptance)
    asked = {"tensor": tensor, "sequence": sequence, "data": data, "pipeline": stages, "expert": expert}
    degrees = {name: degree for name, degree in asked.items() if degree is not None}
    documents: list[Document] = []
    with progress("pricing"):
        program = api.load_model(model)
        for name in chip:
            design = api.load_chip(name)
            compiled = api.compile(program, design, pipeline)
            proposal = drafted and replace(drafted, program=api.compile(drafted.program, design, pipeline))
            price = api.cost(compiled, workload, chips=chips, degrees=degrees, draft=proposal, pools=pools)
            document = price.to_dict()
            if token_price is not None:
                document["break_even_chips"] = break_even(document, token_price)
            if wanted is not None:
                document["spec"] = [verdict.to_dict() for verdict in wanted.judge(design.design, document)]
            documents.append(document)
    if json:
        write_json(documents[0] if len(documents) == 1 else {"results": documents})
        return
    Output().show(price_table(documents))
    load = f"batch {batch}" if concurrency is None else f"{concurrency} requests in flight"
    note(f"{program.name} in {documents[0]['weights']}, {load}, {input} tokens in, {output} out")


def _pools(chips: int | None, prefill: int | None, decode: int | None, separate: bool) -> "tuple[Pools, ...]":
    """The pools of the options, which name both, or leave their division open."""
    from codesign.errors import UsageError
    from codesign.plan import Pools

    named = prefill is not None or decode is not None
    if separate:
        if named or chips is None:
            raise UsageError(
                "--separate divides --chips: expected that, and neither --prefill-chips nor --decode-chips"
            )
        return Pools.of(chips)
    if not named:
        return ()
    if prefill is None or decode is None or chips is not None:
        raise UsageError("pools are --prefill-chips and --decode-chips: expected both, and no --chips")
    return (Pools(prefill, decode),)


def _drafted(model: str | None, tokens: int | None, acceptance: float | None) -> "Draft | None":
    """The draft of the three options, which only make sense together."""
    from codesign import api
    from codesign.errors import UsageError
    from codesign.speculation import Draft

    missing = [
        name
        for name, value in (("--draft", model), ("--draft-tokens", tokens), ("--acceptance", acceptance))
        if value is None
    ]
    if len(missing) == 3:
        return None
    if model is None or tokens is None or acceptance is None:
        raise UsageError(f"a draft needs a model, its tokens and their acceptance; missing {', '.join(missing)}")
    return Draft(api.load_model(model), tokens, acceptance)


def break_even(document: Document, token_price: float) -> int | None:
    """How many chips pay for their development where a million tokens sell at `token_price` US dollars; None when none
    ever do, or the backend tells no such money."""
    money = cast("Mapping[str, float] | None", document.get("money"))
    if money is None:
        return None
    earned = token_price - money["built_usd_per_million_tokens"]
    return ceil(money["development_usd_per_million_tokens"] / earned) if earned > 0 else None


def price_table(documents: Sequence[Document]) -> "Table":
    """Prices side by side, a column for each chip."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for document in documents:
        count = cast(int, document["chips"])
        table.add_column(f"{count} {document['chip']}" if count > 1 else str(document["chip"]), justify="right")
    pooled = any(document.get("pools") for document in documents)
    for title, key, unit in _ROWS:
        table.add_row(title, *(_figure(document, key, unit) for document in documents))
    if pooled:
        for title, name in (("prefill pool", "prefill"), ("decode pool", "decode"), ("transfer", "transfer")):
            table.add_row(title, *(_pool(document, name) for document in documents))
    elif any(cast(int, document["chips"]) > 1 for document in documents):
        table.add_row("plan", *(_plan(document) for document in documents))
    table.add_row("bound by", *(_bound(document) for document in documents))
    if any("break_even_chips" in document for document in documents):
        counts = [cast("int | None", document.get("break_even_chips")) for document in documents]
        table.add_row("chips that pay for themselves", *("never" if own is None else f"{own:,}" for own in counts))
    lines = [cast("Sequence[Document]", document.get("spec", ())) for document in documents]
    for own in zip(*lines, strict=True):
        table.add_row(_wanted(own[0]), *(_verdict(line) for line in own))
    return table


_SPEC_FIGURES: Mapping[str, tuple[str, str]] = {
    "process": ("process", "m"),
    "sram": ("SRAM", "B"),
    "ttft_s": ("time to first token", "s"),
    "tpot_s": ("time per token", "s"),
    "latency_s": ("latency", "s"),
    "tokens_per_second": ("tokens/s", ""),
    "tokens_per_second_per_user": ("tokens/s of one user", ""),
    "energy_per_token_j": ("energy per token", "J"),
    "power_w": ("power", "W"),
    "area_mm2": ("area", "mm²"),
    "usd_per_million_tokens": ("USD per million tokens", ""),
    "formats": ("formats", ""),
}


def _wanted(line: Document) -> str:
    title, unit = _SPEC_FIGURES[str(line["figure"])]
    bounds = [(word, cast("float | None", line[key])) for word, key in (("≥", "at_least"), ("≤", "at_most"))]
    asked = [f"{word} {quantity(value, unit, prefixes=unit != 'mm²')}" for word, value in bounds if value is not None]
    return f"spec: {title} {', '.join(asked)}".rstrip()


def _verdict(line: Document) -> str:
    missing, met, factor = cast("Sequence[str]", line["missing"]), line["met"], cast("float | None", line["factor"])
    if missing:
        return f"missed: no {', '.join(missing)}"
    if met:
        return "met"
    if line["value"] is None:
        return "missed: not known"
    by = "" if factor is None else f": {factor:.3g} times the bound"
    return f"missed{by}" if met is False else f"open{by or ': met as stated'}"


def _pool(document: Document, name: str) -> str:
    """A pool or the transfer: what it is, and the share of what it could answer."""
    own = cast("Mapping[str, Mapping[str, float]]", document["pools"])[name]
    if name == "transfer":
        return f"{quantity(own['bytes'], 'B')} in {quantity(own['seconds'], 's')}, {own['utilization']:.0%} used"
    chips = "1 chip" if own["chips"] == 1 else f"{own['chips']} chips, {_plan(own)}"
    return f"{chips}, {own['utilization']:.0%} used"


def _bound(document: Document) -> str:
    pools = cast("Document | None", document.get("pools"))
    if pools is None or pools["bottleneck"] == "transfer":
        return str(document["bound"]) if pools is None else "the transfer"
    return f"{document['bound']} of the {pools['bottleneck']} pool"


def _plan(document: Document) -> str:
    plan = cast("Mapping[str, int]", document.get("plan", {}))
    return ", ".join(f"{name} {degree}" for name, degree in plan.items() if degree > 1) or "one chip"


def _figure(document: Document, key: str, unit: str) -> str:
    """A figure, and the interval that what is not known of the chip leaves it."""

    def written(value: float | None) -> str:
        return quantity(value, unit, prefixes=unit not in _UNPREFIXED)

    intervals = cast("Mapping[str, Mapping[str, float]]", document.get("intervals", {}))
    figure = written(cast("float | None", document[key]))
    if key not in intervals:
        return figure
    return f"{figure} ({written(intervals[key]['low'])} to {written(intervals[key]['high'])})"
