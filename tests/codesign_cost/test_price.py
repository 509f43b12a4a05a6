"""The price of a request: identities, fit, what more hardware does, and what was measured."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context

from codesign.chips import Chip, parse_chip
from codesign.passes.quantize import QuantizePass
from codesign.plan import Plan
from codesign.plugins.backend import CostModel
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.backend import CostBackend
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.price import price, price_designs
from codesign_cost.ranges import RESULTS
from codesign_cost.result import CostResult

Build = Callable[..., Program]


@pytest.fixture(scope="session")
def tiny(build_program: Build) -> Program:
    program = build_program("tiny")
    QuantizePass(weights="int8", activations="int8").apply(Context(), program.module)
    return program


@pytest.fixture(params=["edge", "h100", "groq-lpu", "tpu-v5e", "wormhole", "dgx-h100"])
def chip(request: pytest.FixtureRequest, chips: dict[str, Chip]) -> Chip:
    return chips[request.param]


def test_the_keys_of_the_command_line_are_there(tiny: Program, chip: Chip) -> None:
    document = price(tiny, chip, Workload(2, 30, 10)).to_dict()
    assert {
        "ttft_s", "tpot_s", "tokens_per_second", "tokens_per_second_per_user", "energy_per_token_j", "boundary",
        "power_w", "area_mm2", "usd_per_million_tokens", "bound", "memory", "breakdown",
    } <= set(document)  # fmt: skip


@pytest.mark.parametrize("name", ["h100", "groq-lpu"])
def test_smaller_chunks_of_a_prompt_never_reach_its_end_sooner(
    tiny: Program, chips: dict[str, Chip], name: str
) -> None:
    seconds = [price(tiny, chips[name], Workload(4, 1024, 2, chunk)).ttft_s for chunk in (None, 1024, 256, 64, 16)]
    assert seconds[0] == seconds[1]
    assert seconds == sorted(seconds)
    assert seconds[-1] > seconds[0]


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 64),
    input=st.integers(1, 400),
    output=st.integers(1, 100),
    name=st.sampled_from(["edge", "h100", "groq-lpu"]),
)
def test_the_figures_agree_with_each_other(
    tiny: Program, chips: dict[str, Chip], batch: int, input: int, output: int, name: str
) -> None:
    result = price(tiny, chips[name], Workload(batch, input, output))
    steps = output - 1
    assert result.latency_s == pytest.approx(result.ttft_s + steps * (result.tpot_s or 0))
    assert (result.tpot_s is None) == (steps == 0)
    assert result.tokens_per_second == pytest.approx(batch * output / result.latency_s)
    assert result.tokens_per_second_per_user * batch == pytest.approx(result.tokens_per_second)
    energy = result.breakdown["energy_j"]
    assert isinstance(energy, Mapping)
    assert result.energy_per_token_j * batch * output == pytest.approx(sum(energy.values()))
    assert result.power_w == pytest.approx(sum(energy.values()) / result.latency_s)
    causes = dict.fromkeys(("compute", "memory", "latency", "network"), 0.0)
    for phase, seconds in (("prefill", result.ttft_s), ("decode", result.latency_s - result.ttft_s)):
        parts = result.breakdown[phase]
        assert isinstance(parts, Mapping)
        assert sum(parts["by_cause"].values()) == pytest.approx(seconds)
        assert sum(parts["by_operation"].values()) == pytest.approx(seconds)
        for cause, spent in parts["by_cause"].items():
            causes[cause] += spent
    assert causes[result.bound] == max(causes.values())


def test_a_renamed_chip_costs_the_same(tiny: Program, chip: Chip) -> None:
    text = str(chip)
    for name in sorted(chip.parts(), key=len, reverse=True):
        text = text.replace(f"@{name}", f"@renamed_{name}")
    renamed = price(tiny, parse_chip(text), Workload(1, 64, 16)).to_dict()
    original = price(tiny, chip, Workload(1, 64, 16)).to_dict()
    differing = {key for key in original if original[key] != renamed[key]}
    assert differing <= {"chip", "usd_note", "notes"}  # the words, not the figures


RESOURCES: dict[str, list[tuple[str, str]]] = {
    "edge": [
        ("mxu", "lanes"), ("mxu", "width"), ("mxu", "tokens"), ("mxu", "count"), ("mxu", "results"), ("vpu", "lanes"),
        ("quant", "lanes"), ("dma", "width"),
        ("dram", "bandwidth"), ("dram", "capacity"), ("dram", "count"), ("activations", "capacity"),
        ("kv", "capacity"), ("weights", "capacity"), ("edge", "clock"), ("core", "count"),
    ],
    "h100": [
        ("sm", "count"), ("tensor", "count"), ("tensor", "lanes"), ("tensor", "width"), ("cuda", "lanes"),
        ("hbm", "bandwidth"), ("hbm", "capacity"), ("nvlink", "bandwidth"), ("l2", "capacity"), ("h100", "clock"),
    ],
    "groq-lpu": [
        ("mxm", "count"), ("mxm", "lanes"), ("mxm", "width"), ("vxm", "lanes"), ("mem", "bandwidth"),
        ("mem", "capacity"), ("c2c", "bandwidth"), ("groq_lpu", "clock"),
    ],
    "tpu-v5e": [
        ("core", "count"), ("mxu", "count"), ("mxu", "lanes"), ("mxu", "width"), ("vpu", "lanes"),
        ("hbm", "bandwidth"), ("hbm", "capacity"), ("ici", "bandwidth"), ("vmem", "capacity"), ("tpu_v5e", "clock"),
    ],
    "corsair": [
        ("chiplet", "count"), ("dimc", "count"), ("simd", "lanes"), ("memory", "capacity"), ("memory", "bandwidth"),
        ("lpddr", "bandwidth"), ("pcie_links", "bandwidth"), ("corsair", "clock"),
    ],
}  # fmt: skip


def more(chip: Chip, part: str, key: str, factor: int) -> Chip:
    op = chip.parts()[part]
    if key == "count":
        return chip.evolve(**{part: {key: factor * op.part().count}})
    value = getattr(op.part(), key)
    if isinstance(value, int):
        return chip.evolve(**{part: {key: factor * value}})
    unit = {"bandwidth": "B/s", "capacity": "B", "clock": "Hz"}[key]
    return chip.evolve(**{part: {key: f"{factor * value:.0f} {unit}"}})


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(RESOURCES)),
    factor=st.integers(2, 5),
    batch=st.sampled_from([1, 3, 32]),
    input=st.sampled_from([1, 17, 300]),
    count=st.sampled_from([1, 2]),
    degree=st.sampled_from(["tensor", "sequence", "data", "pipeline"]),
)
def test_more_of_any_resource_is_never_slower(
    tiny: Program,
    chips: dict[str, Chip],
    data: st.DataObject,
    name: str,
    factor: int,
    batch: int,
    input: int,
    count: int,
    degree: str,
) -> None:
    part, key = data.draw(st.sampled_from(RESOURCES[name]))
    chip, count = chips[name], 1 if name == "edge" else count
    workload = Workload(batch, input, 8)
    plan = Plan(**{degree: count})
    before = price(tiny, chip, workload, plan=plan)
    after = price(tiny, more(chip, part, key, factor), workload, plan=plan)
    assert after.ttft_s <= before.ttft_s * (1 + 1e-12)
    assert (after.tpot_s or 0) <= (before.tpot_s or 0) * (1 + 1e-12)


def test_a_model_that_does_not_fit_is_told_by_how_much(build_program: Build, chips: dict[str, Chip]) -> None:
    program = build_program("llama-2-7b", weights="int8", kv="float16")
    with pytest.raises(DoesNotFitError) as error:
        price(program, chips["groq-lpu"], Workload(1, 100, 100))
    norms = 65 * 4096 * 4
    weights = 6738415616 - 65 * 4096 + norms  # Llama-2-7B's 6,738,415,616 parameters, a byte each, norms in float32
    cache = 32 * 2 * 200 * 4096 * 2
    assert error.value.needed == weights + cache
    assert error.value.available == 230_000_000
    assert error.value.short_by == weights + cache - 230_000_000
    # 30 chips hold as many bytes in all, but some of them two of the 32 KV heads; with 32 each has one.
    assert "short by 6.16 GiB. Try --chips 31, " in str(error.value)
    for count in range(28, 31):
        with pytest.raises(DoesNotFitError):
            price(program, chips["groq-lpu"], Workload(1, 100, 100), plan=Plan(tensor=count))
    assert price(program, chips["groq-lpu"], Workload(1, 100, 100), chips=31).chips == 31


def test_a_system_counts_its_chips(build_program: Build, chips: dict[str, Chip]) -> None:
    text = f"{chips['h100']}\nchip.system @server {{chip.instance @gpu count(4) {{design = @h100}}}}"
    program = build_program("llama-2-7b", weights="bfloat16", kv="bfloat16")
    server = price(program, parse_chip(text), Workload(1, 100, 10))
    four = price(program, chips["h100"], Workload(1, 100, 10), plan=Plan(tensor=4))
    assert server.chips == four.chips == 4
    assert server.ttft_s == four.ttft_s


def test_money_is_the_price_or_what_building_costs(tiny: Program, chips: dict[str, Chip]) -> None:
    edge = price(tiny, chips["edge"], Workload(1, 64, 16))
    assert edge.money["price_stated"] is False
    assert edge.money["paid_usd"] == edge.money["build_usd"]
    assert edge.usd_per_million_tokens == edge.money["built_usd_per_million_tokens"]
    assert "at what they cost to build" in edge.usd_note
    h100 = price(tiny, chips["h100"], Workload(1, 64, 16))
    owning = 28000 / (4 * 365.25 * 24 * 3600)
    running = h100.power_w / 3.6e6 * 1.58 * 0.083
    assert h100.usd_per_million_tokens == pytest.approx((owning + running) / h100.tokens_per_second * 1e6)


def test_notes_say_what_to_doubt(tiny: Program, chips: dict[str, Chip]) -> None:
    edge = price(tiny, chips["edge"], Workload(1, 500, 100))
    assert "600 tokens of context are more than the 512 the model was made for" in edge.notes
    assert any("area: estimated" in note for note in edge.notes)
    assert any("fitted on TensorRT-LLM" in note for note in price(tiny, chips["h100"], Workload(1, 8, 8)).notes)
    bare = chips["h100"].evolve(h100={"family": None})
    assert any("not calibrated" in note for note in price(tiny, bare, Workload(1, 8, 8)).notes)
    with pytest.raises(CostError, match=r"no family of chips is called 'nvidia-hoper'; .* Did you mean nvidia-hopper"):
        price(tiny, chips["h100"].evolve(h100={"family": "nvidia-hoper"}), Workload(1, 8, 8))


def test_stages_wait_for_each_other_only_in_the_prompt(build_program: Build, chips: dict[str, Chip]) -> None:
    # Without a network to cross, a batch of as many sequences as stages passes them at the speed of one sequence.
    program = build_program("llama-2-7b", weights="bfloat16", kv="bfloat16")
    chip = chips["h100"].evolve(h100={"family": None}, nvlink={"bandwidth": "1e30 B/s"})
    one = price(program, chip, Workload(1, 100, 50))
    four = price(program, chip, Workload(4, 100, 50), plan=Plan(pipeline=4))
    assert four.tpot_s == pytest.approx(one.tpot_s)
    assert four.ttft_s == pytest.approx(one.ttft_s * (4 + 4 - 1) / 4)
    assert (four.chips, four.plan["pipeline"]) == (4, 4)
    single = price(program, chip, Workload(1, 100, 50), plan=Plan(pipeline=4))
    assert single.latency_s == pytest.approx(one.latency_s)
    assert four.energy_per_token_j < single.energy_per_token_j
    with pytest.raises(CostError, match="tensor 2, pipeline 4 needs 8 chips; there are 6"):
        price(program, chip, Workload(), chips=6, plan=Plan(tensor=2, pipeline=4))


def test_a_system_is_priced_at_its_wall(build_program: Build, chips: dict[str, Chip]) -> None:
    program = build_program("llama-2-7b", weights="bfloat16", kv="bfloat16")
    server = price(program, chips["dgx-h100"], Workload(1, 100, 10), plan=Plan(tensor=8))
    eight = price(program, chips["h100"], Workload(1, 100, 10), plan=Plan(tensor=8))
    assert (server.boundary, eight.boundary) == ("system", "chip")
    assert server.latency_s == eight.latency_s
    assert server.power_w == pytest.approx(eight.power_w * 10200 / (8 * 700))


def test_sram_keeps_a_model_that_fits_beside_memory(build_program: Build, chips: dict[str, Chip]) -> None:
    program = build_program("llama-2-7b", weights="int8", kv="int8")
    streams = price(program, chips["corsair"], Workload(1, 100, 10), plan=Plan(tensor=2))
    stays = price(program, chips["corsair"], Workload(1, 100, 10), plan=Plan(tensor=4))
    assert streams.tpot_s is not None
    assert stays.tpot_s is not None
    assert streams.tpot_s > 6.6e9 / 2 / 400e9  # each of two chips reads half the weights from memory
    assert stays.tpot_s < streams.tpot_s / 5
    energy = stays.breakdown["energy_j"]
    assert isinstance(energy, Mapping)
    assert energy["memory"] == 0


def test_the_largest_batch_is_the_largest_that_fits(build_program: Build, chips: dict[str, Chip]) -> None:
    program = build_program("llama-2-7b", weights="bfloat16", kv="bfloat16")
    room = price(program, chips["h100"], Workload(1, 1000, 24)).memory["largest_batch"]
    assert isinstance(room, int)
    assert price(program, chips["h100"], Workload(room, 1000, 24)).batch == room
    with pytest.raises(DoesNotFitError, match=f"Try --chips 2, --batch {room}, "):
        price(program, chips["h100"], Workload(room + 1, 1000, 24))


DESIGNS: dict[str, dict[str, dict[str, list[float]]]] = {
    "edge": {
        "mxu": {"lanes": [8, 32, 200], "width": [64, 32, 17]},
        "dram": {"bandwidth": [1e10, 68e9, 1e12], "capacity": [1e3, 1e10, 1e10]},
        "activations": {"capacity": [1e3, 5e5, 1e7]},
        "kv": {"capacity": [1e2, 5e5, 1e7]},
    },
    "h100": {
        "sm": {"count": [1, 132, 500]},
        "hbm": {"bandwidth": [1e12, 3.35e12, 9e12]},
        "nvlink": {"bandwidth": [1e9, 450e9, 1e12]},
        "h100": {"clock": [1e9, 1.83e9, 2e9], "power": [500, 700, 900], "price": [1e4, 2e4, 3e4]},
    },
    "groq-lpu": {"mem": {"capacity": [1e6, 230e6, 1e9], "bandwidth": [1e12, 8e13, 1e15]}, "mxm": {"count": [1, 4, 9]}},
    "corsair": {"memory": {"capacity": [1e2, 1e6, 1e9]}, "corsair": {"process": [3e-9, 6e-9, 16e-9]}},
    "dgx-h100": {"nvswitch": {"bandwidth": [1e9, 450e9, 1e12]}, "h100": {"power": [500, 700, 2000]}},
    "tpu-v5e": {"mxu": {"lanes": [64, 128, 256], "width": [64, 128, 256]}},
}


@pytest.mark.parametrize("name", sorted(DESIGNS))
@pytest.mark.parametrize(
    "plan",
    [Plan(), Plan(tensor=2), Plan(data=2, pipeline=2), Plan(tensor=2, sequence=4)],
    ids=str,
)
def test_many_designs_cost_what_each_costs_alone(tiny: Program, chips: dict[str, Chip], name: str, plan: Plan) -> None:
    plan = Plan() if name == "edge" else plan
    changes, workload = DESIGNS[name], Workload(3, 70, 40)
    together = price_designs(tiny, chips[name], workload, changes, plan=plan)
    for index in range(3):
        one = {
            part: {key: written(key, own[index]) for key, own in figures.items()} for part, figures in changes.items()
        }
        try:
            alone = price(tiny, chips[name].evolve(**one), workload, plan=plan)
        except DoesNotFitError:
            assert not together.fits[index]
            continue
        assert together.fits[index]
        for key in RESULTS:
            assert getattr(together, key)[index] == pytest.approx(getattr(alone, key), rel=1e-12)


def test_designs_cost_the_same_in_blocks(
    tiny: Program, chips: dict[str, Chip], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = price_designs(tiny, chips["edge"], Workload(3, 70, 40), DESIGNS["edge"])
    monkeypatch.setattr("codesign_cost.price._BLOCK", 2)
    parted = price_designs(tiny, chips["edge"], Workload(3, 70, 40), DESIGNS["edge"])
    assert parted.fits.tolist() == whole.fits.tolist()
    for key in RESULTS:
        assert getattr(parted, key) == pytest.approx(getattr(whole, key), rel=1e-12)


def written(key: str, value: float) -> object:
    """A figure as a chip's text has it."""
    units = {"bandwidth": "B/s", "capacity": "B", "clock": "Hz", "power": "W", "price": "USD", "process": "m"}
    return f"{value:.15g} {units[key]}" if key in units else int(value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mxv": {"lanes": [1.0]}}, "no part called 'mxv'. Did you mean mxu"),
        ({"mxu": {"lane": [1.0]}}, "@mxu states no figure 'lane'. Did you mean lanes"),
        ({"mxu": {"lanes": [0.0]}}, "@mxu lanes: expected a row of numbers above zero"),
        ({"mxu": {"lanes": [1.0, 2.0], "width": [1.0]}}, "as many values of every figure, got 1, 2"),
        ({"edge": {"power": [7.0]}}, "@edge states no figure 'power'"),
    ],
)
def test_changes_that_no_design_has_are_refused(
    tiny: Program, chips: dict[str, Chip], changes: dict[str, dict[str, list[float]]], message: str
) -> None:
    with pytest.raises(CostError, match=message):
        price_designs(tiny, chips["edge"], Workload(1, 8, 8), changes)


def test_the_backend_prices_the_chip_its_module_names(tiny: Program, chips: dict[str, Chip]) -> None:
    backend = CostBackend()
    assert isinstance(backend, CostModel)
    assert backend.supports(tiny)
    program = Program(tiny.module.clone())
    with pytest.raises(CostError, match="targets no chip"):
        backend.cost(program, Workload())
    chips["edge"].put_into(program.module)
    result = backend.cost(program, Workload(1, 64, 16))
    assert isinstance(result, CostResult)
    assert result.chip == "edge"
    assert result == price(tiny, chips["edge"], Workload(1, 64, 16))
    twice = backend.cost(program, Workload(2, 64, 16), chips=1)
    assert twice.batch == 2
    with pytest.raises(CostError, match="at least 1 chip, got 0"):
        backend.cost(program, Workload(), chips=0)
