"""Time laws against loops written out, rooflines, and their own calibrations' claims."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.chips import Chip, parse_chip
from codesign_cost.demand import Attention, Collective, Product
from codesign_cost.errors import CostError
from codesign_cost.laws import LAWS, law_of
from codesign_cost.laws.tiled_dispatch import TILED_DISPATCH
from codesign_cost.machine import Machine
from codesign_dialects.encoding import Encoding, Sparsity, number_format, plain

ONE = np.ones(1)


def product(rows: int, columns: int, reduction: int, stored: str = "int8", *, integer: bool = True) -> Product:
    activations = Encoding(number_format("int8"), plain("float32")) if integer else plain("float32")
    return Product(
        name="p",
        repeat=ONE,
        rows=rows * ONE,
        columns=columns,
        reduction=reduction,
        weight=plain(stored),
        input=activations,
        integer=integer,
        split="columns",
        opens=True,
    )


def attention(tokens: int, past: int, **changes: int) -> Attention:
    shape = {"batch": 1, "heads": 8, "kv_heads": 2, "size": 64} | changes
    pairs = tokens * past + tokens * (tokens + 1) / 2
    return Attention(
        "attention",
        ONE,
        **shape,
        tokens=tokens * ONE,
        context=(past + tokens) * ONE,
        pairs=pairs * ONE,
        cache=plain("int8"),
    )


def run(item: Product | Attention | Collective, machine: Machine):
    law = law_of(machine)
    return law.usage(item, machine, law.values(machine))


def test_the_scheduler_chooses_the_law(chips: dict[str, Chip]) -> None:
    laws = {name: law_of(Machine(chip.design)).name for name, chip in chips.items()}
    assert laws["h100"] == "tiled_dispatch"
    assert laws["edge"] == "dot_product"
    assert laws["groq-lpu"] == "static_pipeline"
    assert len({law.scheduler for law in LAWS}) == len(LAWS)


def engine_cycles(rows: int, columns: int, reduction: int, lanes: int, width: int, results: int) -> int:
    """A dot-product engine stepped through: a cycle for each row tile, slice and token; results leave in parallel."""
    multiplying = 0
    for _row_tile in range(0, columns, lanes):
        for _token in range(rows):
            for _slice in range(0, reduction, width):
                multiplying += 1
    return max(multiplying, rows * -(-columns // results))


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 200),
    reduction=st.integers(1, 300),
    lanes=st.sampled_from([4, 8, 32]),
    width=st.sampled_from([8, 32]),
    results=st.sampled_from([1, 4]),
)
def test_dot_product_compute_is_a_cycle_a_slice(
    chips: dict[str, Chip], rows: int, columns: int, reduction: int, lanes: int, width: int, results: int
) -> None:
    chip = chips["edge"].evolve(mxu={"lanes": lanes, "width": width, "results": results})
    usage = run(product(rows, columns, reduction), Machine(chip.design))
    cycles = engine_cycles(rows, columns, reduction, lanes, width, results)
    assert usage.compute[0] * chip.design.clock == pytest.approx(cycles)


def test_dot_product_streams_weights_through_the_port(chips: dict[str, Chip]) -> None:
    machine = Machine(chips["edge"].design)
    usage = run(product(1, 4096, 4096), machine)
    assert usage.memory_bytes[0] == 4096 * 4096
    assert usage.seconds[0] == pytest.approx(4096 * 4096 / 64e9 + 100e-9)  # 64 bytes a cycle, then the memory's latency


def test_dot_product_reads_weights_again_for_activations_that_do_not_fit(chips: dict[str, Chip]) -> None:
    design = chips["edge"].evolve(activations={"capacity": "8 KiB"}).design
    assert run(product(4, 64, 4096), Machine(design)).memory_bytes[0] == 2 * 64 * 4096


def test_dot_product_skips_what_the_sparsity_it_knows_leaves_out(chips: dict[str, Chip]) -> None:
    dense = product(4, 64, 2048)
    sparse = replace(dense, weight=Encoding(number_format("int8"), sparsity=Sparsity(2, 4)))
    other = replace(dense, weight=Encoding(number_format("int8"), sparsity=Sparsity(1, 4)))
    machine = Machine(chips["edge"].design)
    assert run(sparse, machine).compute == run(dense, machine).compute / 2
    assert run(other, machine).compute == run(dense, machine).compute


def with_attention(chip: Chip) -> Chip:
    """A chip with an attention unit in its core."""
    unit = 'chip.attention @attn {queries = 8, keys = 32} sources {others = "chosen: this test"}'
    return parse_chip(str(chip).replace("chip.vector @vpu", f"{unit}\n    chip.vector @vpu"))


@given(tokens=st.integers(1, 40), past=st.integers(0, 300))
def test_attention_without_a_unit_is_products_of_int8(chips: dict[str, Chip], tokens: int, past: int) -> None:
    """A row of a query head: tiles of 32 keys, 2 slices each, and 2 tiles of features, a slice of 32 keys each."""
    item = replace(attention(tokens, past), cache=plain("float32"))
    keys = past + (tokens + 1) / 2
    usage = run(item, Machine(chips["edge"].design))
    assert usage.compute[0] * 1e9 == pytest.approx(8 * tokens * 4 * np.ceil(keys / 32))
    assert usage.number_format == "int8"


@given(tokens=st.integers(1, 40), past=st.integers(0, 300))
def test_attention_unit_works_in_blocks(chips: dict[str, Chip], tokens: int, past: int) -> None:
    machine = Machine(with_attention(chips["edge"]).design)
    item = attention(tokens, past)
    # Blocks wholly masked are skipped: on average as large a share of blocks as of pairs.
    blocks = -(-tokens * 4 // 8) * -(-(past + tokens) // 32)
    share = item.pairs[0] / (tokens * (past + tokens))
    assert run(item, machine).compute[0] * 1e9 == pytest.approx(2 * 2 * 64 * blocks * share)


def test_attention_reads_keys_again_for_each_block_of_queries_that_they_do_not_outlive(chips: dict[str, Chip]) -> None:
    item = attention(16, 0)  # 16 tokens, 4 heads a KV head: 8 blocks of 8 queries; 2 KB a head of keys and values
    chip = with_attention(chips["edge"])
    stays = run(item, Machine(chip.evolve(kv={"capacity": "2 KiB"}).design))
    leaves = run(item, Machine(chip.evolve(kv={"capacity": "1 KiB"}).design))
    assert stays.memory_bytes[0] == 2 * 2 * 16 * 64
    assert leaves.memory_bytes[0] == 8 * stays.memory_bytes[0]


def test_other_dataflows_are_refused_by_name(chips: dict[str, Chip]) -> None:
    design = chips["edge"].evolve(mxu={"dataflow": "weight_stationary"}).design
    with pytest.raises(CostError, match="knows the dataflow dot_product, not weight_stationary of @mxu"):
        run(product(1, 8, 8), Machine(design))


def ideal_gpu() -> Machine:
    text = """
    chip.design @gpu attributes {process = "4 nm", clock = "1 GHz"} {
      chip.memory @hbm {kind = "hbm3", capacity = "80 GB", bandwidth = "1 TB/s"}
      chip.scheduler @dispatch {kind = "kernels"}
      chip.core @sm count(4) {
        chip.matmul @tensor {lanes = 16, width = 16, formats = ["bfloat16"], dataflow = "tiled"}
        chip.vector @cuda {lanes = 32}
      }
    }
    """
    return Machine(parse_chip(text).design)


def test_uncalibrated_kernels_are_a_roofline() -> None:
    machine = ideal_gpu()
    many_waves = run(product(4096, 4096, 512, "bfloat16", integer=False), machine)
    assert many_waves.compute[0] == pytest.approx(4096 * 4096 * 512 / (4 * 256 * 1e9))
    assert many_waves.memory[0] == pytest.approx(2 * (4096 * 512 + 4096 * 512 + 4096 * 4096) / 1e12)
    assert many_waves.latency[0] == 0
    assert many_waves.seconds[0] == pytest.approx((many_waves.compute[0] ** 4 + many_waves.memory[0] ** 4) ** 0.25)


def test_a_partial_wave_costs_a_whole_one() -> None:
    # 5 tiles of 256 x 128 on 4 cores need two waves unless the reduction splits: 10 halves in 3 waves of half the work.
    machine = ideal_gpu()
    seconds = run(product(256, 5 * 128, 512, "bfloat16", integer=False), machine).compute[0]
    assert seconds >= 256 * 5 * 128 * 512 / (4 * 256 * 1e9)
    assert seconds == pytest.approx(256 * 5 * 128 * 512 / (4 * 256 * 1e9))  # small tiles fill the cores evenly
    lossy = TILED_DISPATCH.usage(
        product(256, 5 * 128, 512, "bfloat16", integer=False),
        machine,
        TILED_DISPATCH.values(machine) | {"tile_loss": 1e3},
    )
    assert lossy.compute[0] > 2 * seconds


def measured_operators(kind: str) -> Iterator[tuple[str, int, list[int], float]]:
    """Format, batch, the numbers a to d, and seconds, of the measured operators of one kind."""
    lines = (Path(__file__).parent / "h100_operators.csv").read_text().splitlines()
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        if row["kind"] == kind:
            yield row["format"], int(row["batch"]), [int(row[key]) for key in "abcd"], float(row["milliseconds"]) / 1e3


def predicted(kind: str, chip: Chip, stored: str, batch: int, shape: list[int]) -> float:
    machine = Machine(chip.design)
    if kind == "product":
        item = product(*shape[:3], stored, integer=False)
    elif kind == "all_reduce":
        machine, item = Machine(chip.design, batch), Collective(kind, ONE, shape[0] * ONE, kind)
    else:
        context, heads, kv_heads, size = shape
        tokens = 1 if kind == "decode" else context
        item = attention(tokens, context - tokens, batch=batch, heads=heads, kv_heads=kv_heads, size=size)
        item = replace(item, cache=plain(stored))
    return float(run(item, machine).seconds[0])


@pytest.mark.parametrize(
    ("kind", "most"), [("product", 0.15), ("decode", 0.25), ("prefill", 0.25), ("all_reduce", 0.25)]
)
def test_h100_operators_as_measured(chips: dict[str, Chip], kind: str, most: float) -> None:
    errors = [
        abs(predicted(kind, chips["h100"], stored, batch, shape) / seconds - 1)
        for stored, batch, shape, seconds in measured_operators(kind)
    ]
    assert len(errors) >= 10
    assert sum(errors) / len(errors) < most


def test_one_chip_exchanges_nothing(chips: dict[str, Chip]) -> None:
    exchange = Collective("all_reduce", ONE, 4096 * ONE, "all_reduce")
    for chip in chips.values():
        assert run(exchange, Machine(chip.design)).seconds[0] == 0


def test_a_ring_moves_twice_what_it_reduces(chips: dict[str, Chip]) -> None:
    exchange = Collective("all_reduce", ONE, 1e6 * ONE, "all_reduce")
    for count in (2, 4, 8):
        usage = run(exchange, Machine(chips["h100"].design, count))
        assert usage.link_bytes[0] == pytest.approx(2e6 * 2 * (count - 1) / count)


def test_several_chips_need_a_link(chips: dict[str, Chip]) -> None:
    with pytest.raises(CostError, match=r"2 chips share a model over one chip\.link, and it states 0"):
        run(Collective("all_reduce", ONE, ONE, "all_reduce"), Machine(chips["edge"].design, 2))


def test_a_calibration_names_only_what_its_law_has(chips: dict[str, Chip]) -> None:
    text = str(chips["h100"]).replace("tile_loss", "tile_lost")
    with pytest.raises(CostError, match=r"has no coefficient 'tile_lost'\. Did you mean tile_loss"):
        law_of(Machine(parse_chip(text).design)).values(Machine(parse_chip(text).design))


@pytest.mark.parametrize(
    ("chip", "stored", "integer", "runs_in"),
    [
        ("h100", "bfloat16", False, "bfloat16"),
        ("h100", "fp8_e4m3", False, "fp8_e4m3"),
        ("h100", "float32", False, "float32"),  # no tensor core holds it: the vector units do
        ("h100", "int4", True, "int8"),
        ("h100", "int8", False, "bfloat16"),
        ("h100", "fp4_e2m1", False, "bfloat16"),
        ("edge", "int4", True, "int4"),
        ("edge", "int6", True, "int8"),
        ("edge", "bfloat16", False, "float32"),
        ("edge", "int8", False, "float32"),
        ("groq-lpu", "int8", False, "float16"),
        ("groq-lpu", "bfloat16", False, "float32"),
    ],
)
def test_the_format_a_product_runs_in(
    chips: dict[str, Chip], chip: str, stored: str, integer: bool, runs_in: str
) -> None:
    assert Machine(chips[chip].design).product_format(plain(stored), integer=integer) == runs_in
