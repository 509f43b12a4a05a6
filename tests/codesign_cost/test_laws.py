"""Time laws against loops written out, rooflines, and their own calibrations' claims."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.chips import Chip, parse_chip
from codesign.plan import Plan
from codesign_cost.demand import Attention, Collective, Product, tables_of
from codesign_cost.errors import CostError
from codesign_cost.laws import LAWS, Usage, law_of
from codesign_cost.laws.network import hops_of, levels_of, sides_of, steps_of
from codesign_cost.laws.tiled_dispatch import joined
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
        past=past * ONE,
        block=0,
        queries=0,
        context=(past + tokens) * ONE,
        read=(past + tokens) * ONE,
        pairs=pairs * ONE,
        cache=plain("int8"),
        value_size=shape["size"],
        copies=2,
    )


def run(item: Product | Attention | Collective, machine: Machine, **values: float) -> Usage:
    """The usage of one operation, each figure a row of one number."""
    law = law_of(machine)
    (table,) = tables_of([item])
    usage = law.usage(table, machine, law.values(machine) | values)
    figures = {field.name: getattr(usage, field.name) for field in fields(usage) if field.name != "formats"}
    return replace(usage, **{name: np.ravel(figure) for name, figure in figures.items()})


def test_the_scheduler_chooses_the_law(chips: dict[str, Chip]) -> None:
    laws = {name: law_of(Machine(chip.design)).name for name, chip in chips.items()}
    assert laws["h100"] == "tiled_dispatch"
    assert laws["edge"] == "streamed"
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
    """A row of a query head: tiles of 32 keys, 2 slices each, and 2 tiles of features, a slice of 32 keys each, or
    the 4 cycles in which 64 results leave."""
    item = replace(attention(tokens, past), cache=plain("float32"))
    tiles = 2 * np.ceil((past + (tokens + 1) / 2) / 32)
    usage = run(item, Machine(chips["edge"].design))
    assert usage.compute[0] * 1e9 == pytest.approx(8 * tokens * (tiles + max(tiles, 4)))
    assert list(usage.formats) == ["int8"]


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


def systolic_cycles(rows: int, columns: int, reduction: int, side: tuple[int, int]) -> int:
    """A weight-stationary array stepped through: a tile's weights load behind the tokens that pass the last."""
    lanes, width = side
    total = 0
    for _column_tile in range(0, columns, lanes):
        for start in range(0, reduction, width):
            total += max(rows, min(width, reduction - start))
    return total


@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 400),
    reduction=st.integers(1, 400),
    lanes=st.sampled_from([8, 128]),
    width=st.sampled_from([16, 128]),
)
def test_a_weight_stationary_array_loads_tiles_behind_tokens(
    chips: dict[str, Chip], rows: int, columns: int, reduction: int, lanes: int, width: int
) -> None:
    changes = {"dataflow": "weight_stationary", "lanes": lanes, "width": width}
    design = chips["edge"].evolve(mxu=changes).design
    cycles = run(product(rows, columns, reduction), Machine(design)).compute[0] * design.clock
    assert cycles == pytest.approx(systolic_cycles(rows, columns, reduction, (lanes, width)))


def test_an_output_stationary_array_takes_a_cycle_an_element(chips: dict[str, Chip]) -> None:
    design = chips["edge"].evolve(mxu={"dataflow": "output_stationary", "lanes": 16, "width": 8, "count": 2}).design
    # 5 by 3 tiles of 8 by 16 results on two arrays: eight rounds of 100 elements.
    assert run(product(40, 48, 100), Machine(design)).compute[0] * design.clock == pytest.approx(8 * 100)


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
    lossy = run(product(256, 5 * 128, 512, "bfloat16", integer=False), machine, tile_operand=1e4)
    assert lossy.compute[0] > 2 * seconds


def test_a_step_of_a_tile_waits_for_its_operands() -> None:
    # One row of 256 columns: every tile is far smaller than the wait, so that each of the elements takes as long as it.
    machine, item = ideal_gpu(), product(1, 256, 4096, "bfloat16", integer=False)
    assert run(item, machine, least_tile=1e6, split_fill=1e9).compute[0] == pytest.approx(
        4096 * 1e6 / (256 * 1e9), rel=1e-3
    )


def test_products_begun_together_share_launch_and_waves() -> None:
    # One tile, the smallest, keeps one of four cores busy; four experts' tiles keep all of them, in the same time.
    machine, one = ideal_gpu(), product(16, 64, 4096, "bfloat16", integer=False)
    coarse = {"launch": 1e-6, "split_fill": 1e9}
    alone, together = run(one, machine, **coarse), run(replace(one, together=4 * ONE), machine, **coarse)
    assert 4 * together.compute[0] == pytest.approx(alone.compute[0])
    assert 4 * together.latency[0] == pytest.approx(alone.latency[0])
    assert together.memory_bytes[0] == alone.memory_bytes[0]


def test_the_last_block_of_a_prompt_keeps_other_cores_waiting() -> None:
    # One head of 64 queries is one block: three of four cores have nothing to do.
    machine = ideal_gpu()
    one = run(replace(attention(64, 0, batch=1, heads=1, kv_heads=1), cache=plain("bfloat16")), machine)
    assert one.compute[0] == pytest.approx(one.macs[0] / (256 * 1e9))
    many = run(replace(attention(64, 0, batch=4096, heads=1, kv_heads=1), cache=plain("bfloat16")), machine)
    assert many.compute[0] == pytest.approx(many.macs[0] / (4 * 256 * 1e9), rel=2e-3)


def test_heads_of_their_own_decode_on_vector_units() -> None:
    machine = ideal_gpu()

    def seconds(heads: int, **values: float) -> float:
        item = replace(attention(1, 63, batch=8, heads=heads, kv_heads=8), cache=plain("bfloat16"))
        return run(item, machine, **values).compute[0]

    assert seconds(32, decode_vector=2.0) == seconds(32)
    own = replace(attention(1, 63, batch=8, heads=8, kv_heads=8), cache=plain("bfloat16"))
    macs = run(own, machine).macs[0]
    assert seconds(8, decode_vector=2.0) - seconds(8) == pytest.approx(2 * macs / (4 * 32 * 1e9))


@given(compute=st.floats(0, 1e3), memory=st.floats(0, 1e3))
def test_overlapping_times_join_by_a_sharp_maximum(compute: float, memory: float) -> None:
    both = joined(np.array(compute), np.array(memory))
    assert max(compute, memory) <= both * (1 + 1e-12)
    assert both == pytest.approx((compute**4 + memory**4) ** 0.25, rel=1e-12, abs=1e-60)


def test_a_core_takes_a_block_of_decode_attention_for_each_kv_head_that_few_heads_share(chips: dict[str, Chip]) -> None:
    machine = ideal_gpu()

    def blocks(heads: int, kv_heads: int) -> float:
        item = replace(attention(1, 63, batch=8, heads=heads, kv_heads=kv_heads), cache=plain("bfloat16"))
        bare = run(item, machine).compute[0]
        return (run(item, machine, decode_block=1.0, decode_shared_block=100.0).compute[0] - bare) * machine.cores / 8

    assert blocks(8, 8) == pytest.approx(8)
    assert blocks(32, 8) == pytest.approx(100 * 8)
    assert blocks(64, 1) == pytest.approx(64)


def test_one_chip_exchanges_nothing(chips: dict[str, Chip]) -> None:
    for name in ("edge", "h100", "groq-lpu"):
        assert run(exchange("all_reduce", 4096, 1), Machine(chips[name].design)).seconds[0] == 0


def linked(topology: str, *, dimensions: int = 2) -> Machine:
    text = f"""
    chip.design @node attributes {{process = "4 nm", clock = "1 GHz"}} {{
      chip.link @link {{
        kind = "any", bandwidth = "1 GB/s", latency = "1 us", topology = "{topology}", dimensions = {dimensions}
      }}
      chip.scheduler @dispatch {{kind = "kernels"}}
    }}
    """
    return Machine(parse_chip(text).design)


def exchange(kind: str, elements: float, ranks: int, stride: int = 1) -> Collective:
    return Collective(kind, ONE, elements * ONE, kind, ranks, stride)


@pytest.mark.parametrize("topology", ["ring", "torus", "mesh", "dragonfly", "tree"])
@pytest.mark.parametrize("chips", [2, 4, 8, 16])
def test_an_all_reduce_in_parts_moves_them_twice(topology: str, chips: int) -> None:
    usage = run(exchange("all_reduce", 1e6, chips), linked(topology))
    moved = 2e6 * 2 * (chips - 1) / chips
    # The farthest chip of a ring is half of it away; of a mesh, from corner to corner.
    steps = {
        "ring": chips // 2,
        "torus": {2: 1, 4: 2, 8: 2, 16: 4}[chips],
        "mesh": {2: 1, 4: 2, 8: 4, 16: 6}[chips],
    }.get(topology, int(np.log2(chips)))
    assert usage.link_bytes[0] == pytest.approx(moved)
    assert usage.seconds[0] == pytest.approx(2 * steps * 1e-6 + moved / 1e9)


def test_few_bytes_go_to_all_at_once_through_a_switch() -> None:
    few, many = (run(exchange("all_reduce", size, 8), linked("all_to_all")) for size in (10.0, 1e6))
    assert few.seconds[0] == pytest.approx(1e-6 + 7 * 20 / 1e9)
    assert many.seconds[0] == pytest.approx(2e-6 + 2 * 7 / 8 * 2e6 / 1e9)


def test_each_stage_of_a_pipeline_sends_to_the_next() -> None:
    usage = run(exchange("send", 1e6, 3), linked("ring"))
    assert usage.seconds[0] == pytest.approx(2 * (1e-6 + 2e6 / 1e9))


def distances(topology: str, chips: int) -> list[int]:
    """Shortest ways between all pairs of different chips, by breadth-first search over the links."""
    side = {"ring": chips}.get(topology, int(np.sqrt(chips)))
    places = [(x, y) for x in range(side) for y in range(chips // side)]

    def neighbors(x: int, y: int) -> list[tuple[int, int]]:
        near = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
        return [(a % side, b % (chips // side)) for a, b in near] if topology != "mesh" else near

    found: list[int] = []
    for start in places:
        reached, front = {start: 0}, [start]
        for place in front:
            new = [near for near in neighbors(*place) if near in places and near not in reached]
            reached |= dict.fromkeys(new, reached[place] + 1)
            front += dict.fromkeys(new)
        found += [distance for place, distance in reached.items() if place != start]
    return found


@pytest.mark.parametrize("topology", ["ring", "torus", "mesh"])
@pytest.mark.parametrize("chips", [4, 9, 16, 25])
def test_bytes_from_all_to_all_pass_the_links_between(topology: str, chips: int) -> None:
    mean = float(np.mean(distances(topology, chips)))
    assert hops_of(topology, chips) == pytest.approx(mean)
    usage = run(exchange("all_to_all", 1e6, chips), linked(topology))
    moved = 2e6 / chips * (chips - 1) / chips * mean
    assert usage.link_bytes[0] == pytest.approx(moved)
    assert usage.seconds[0] == pytest.approx(steps_of(topology, chips) * 1e-6 + moved / 1e9)


def test_through_a_switch_all_to_all_is_a_part_of_a_gather() -> None:
    parts, gather = (run(exchange(kind, 1e6, 8), linked("all_to_all")) for kind in ("all_to_all", "all_gather"))
    assert parts.link_bytes[0] == pytest.approx(gather.link_bytes[0] / 8)
    assert parts.seconds[0] < gather.seconds[0]


def test_chips_that_cannot_reach_each_other_are_refused() -> None:
    assert run(exchange("all_reduce", 1, 2), linked("point_to_point")).seconds[0] > 0
    for ranks, stride in ((3, 1), (2, 2)):
        with pytest.raises(CostError, match="@link joins 2 chips; more cannot reach each other by it"):
            run(exchange("all_reduce", 1, ranks, stride), linked("point_to_point"))


@given(chips=st.integers(1, 200))
def test_a_larger_network_never_takes_fewer_steps(chips: int) -> None:
    for topology in ("all_to_all", "ring", "dragonfly", "tree"):
        assert steps_of(topology, chips) <= steps_of(topology, chips + 1)
    assert steps_of("torus", chips, 3) <= steps_of("torus", chips) <= steps_of("ring", chips)


@given(chips=st.integers(1, 300), dimensions=st.integers(1, 3))
def test_an_arrangement_holds_its_chips_in_sides_as_equal_as_can_be(chips: int, dimensions: int) -> None:
    sides = sides_of(chips, dimensions)
    assert len(sides) == dimensions
    assert np.prod(sides) >= chips
    assert (max(sides) - 1) ** dimensions < chips


def boxes(*, inner: int = 4) -> Machine:
    """Boxes of `inner` chips behind a switch, a ring of slower links between them."""
    text = f"""
    chip.design @node attributes {{process = "4 nm", clock = "1 GHz"}} {{
      chip.link @between {{kind = "any", bandwidth = "1 GB/s", latency = "10 us", topology = "ring"}}
      chip.link @inside {{
        kind = "any", bandwidth = "8 GB/s", latency = "1 us", topology = "all_to_all", chips = {inner}
      }}
      chip.scheduler @dispatch {{kind = "kernels"}}
    }}
    """
    return Machine(parse_chip(text).design)


def test_an_all_reduce_over_boxes_crosses_them_in_parts() -> None:
    # Scattered and gathered inside, each chip reduces a fourth of the whole with its like in the three other boxes.
    usage = run(exchange("all_reduce", 4e6, 16), boxes())
    inside = 2 * (1e-6 + 8e6 * 3 / 4 / 8e9)
    between = 2 * (2 * 10e-6 + 2e6 * 3 / 4 / 1e9)
    assert usage.seconds[0] == pytest.approx(inside + between)
    assert usage.link_bytes[0] == pytest.approx(2 * (6e6 + 1.5e6))
    alone = run(exchange("all_reduce", 4e6, 4), boxes())
    assert alone.seconds[0] == pytest.approx(inside)


@given(
    log_size=st.integers(0, 26),
    inner=st.sampled_from([1, 2, 4, 8]),
    kind=st.sampled_from(["all_reduce", "all_gather", "all_to_all", "send"]),
)
def test_chips_apart_exchange_over_the_links_between_boxes(log_size: int, inner: int, kind: str) -> None:
    flat = run(exchange(kind, 2.0**log_size, 4), linked("ring"))
    apart = run(exchange(kind, 2.0**log_size, 4, stride=inner), boxes(inner=inner))
    near = run(exchange(kind, 2.0**log_size, 4), boxes(inner=64))
    assert apart.link_bytes[0] == pytest.approx(flat.link_bytes[0])
    assert apart.seconds[0] - flat.seconds[0] == pytest.approx({"send": 3, "all_reduce": 4}.get(kind, 2) * 9e-6)
    assert near.seconds[0] < apart.seconds[0]


@pytest.mark.parametrize(("ranks", "stride", "levels"), [
    (16, 1, (4, 4)), (4, 1, (4, 1)), (4, 2, (2, 2)), (3, 4, (1, 3)), (6, 1, (3, 2)), (2, 8, (1, 2)),
])  # fmt: skip
def test_a_group_is_laid_out_over_boxes(ranks: int, stride: int, levels: tuple[int, ...]) -> None:
    assert levels_of(boxes().links, ranks, stride) == levels


def test_bytes_between_all_are_counted_once_at_the_level_they_cross() -> None:
    usage = run(exchange("all_to_all", 16e6, 16), boxes())
    own = 2e6  # what a chip holds: 3 of 16 parts stay in the box, 12 leave it over 4 / 3 links of the ring in the mean
    assert usage.link_bytes[0] == pytest.approx(own * (3 + 12 * 4 / 3) / 16)


def test_several_chips_need_a_link(chips: dict[str, Chip]) -> None:
    with pytest.raises(CostError, match=r"2 chips share a model over one chip\.link, .* it states 0"):
        run(exchange("all_reduce", 1, 2), Machine(chips["edge"].design, Plan(tensor=2)))


def test_a_calibration_names_only_what_its_law_has(chips: dict[str, Chip]) -> None:
    calibration = (
        'chip.calibration @own {law = "tiled_dispatch", values = {tile_operands = 1.0}, fitted_on = "x", '
        "residual = 0.1}"
    )
    text = str(chips["h100"]).rstrip().removesuffix("}") + calibration + "}"
    with pytest.raises(CostError, match=r"has no coefficient 'tile_operands'\. Did you mean tile_operand"):
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
