"""The price of a request: identities, fit, what more hardware does, and what was measured."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context

from codesign.chips import Chip, parse_chip
from codesign.passes.quantize import QuantizePass
from codesign.plugins.backend import CostModel
from codesign.program import Program
from codesign.workload import Workload
from codesign_cost.backend import CostBackend
from codesign_cost.combiner import price
from codesign_cost.errors import CostError, DoesNotFitError
from codesign_cost.result import CostResult

Build = Callable[..., Program]


@pytest.fixture(scope="session")
def tiny(build_program: Build) -> Program:
    program = build_program("tiny")
    QuantizePass(weights="int8", activations="int8").apply(Context(), program.module)
    return program


@pytest.fixture(params=["edge", "h100", "groq-lpu"])
def chip(request: pytest.FixtureRequest, chips: dict[str, Chip]) -> Chip:
    return chips[request.param]


def test_the_keys_of_the_command_line_are_there(tiny: Program, chip: Chip) -> None:
    document = price(tiny, chip, Workload(2, 30, 10)).to_dict()
    assert {
        "ttft_s", "tpot_s", "tokens_per_second", "tokens_per_second_per_user", "energy_per_token_j", "boundary",
        "power_w", "area_mm2", "usd_per_million_tokens", "bound", "memory", "breakdown",
    } <= set(document)  # fmt: skip


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
    assert differing <= {"chip", "usd_note", "notes"}


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
) -> None:
    part, key = data.draw(st.sampled_from(RESOURCES[name]))
    chip, count = chips[name], 1 if name == "edge" else count
    workload = Workload(batch, input, 8)
    before = price(tiny, chip, workload, chips=count)
    after = price(tiny, more(chip, part, key, factor), workload, chips=count)
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
            price(program, chips["groq-lpu"], Workload(1, 100, 100), chips=count)
    assert price(program, chips["groq-lpu"], Workload(1, 100, 100), chips=31).chips == 31


def test_a_system_counts_its_chips(build_program: Build, chips: dict[str, Chip]) -> None:
    text = f"{chips['h100']}\nchip.system @server {{chip.instance @gpu count(4) {{design = @h100}}}}"
    program = build_program("llama-2-7b", weights="bfloat16", kv="bfloat16")
    server = price(program, parse_chip(text), Workload(1, 100, 10))
    four = price(program, chips["h100"], Workload(1, 100, 10), chips=4)
    assert server.chips == four.chips == 4
    assert server.ttft_s == four.ttft_s


def test_money_needs_a_price(tiny: Program, chips: dict[str, Chip]) -> None:
    edge = price(tiny, chips["edge"], Workload(1, 64, 16))
    assert edge.usd_per_million_tokens is None
    assert edge.usd_note == "chip @edge states no price"
    h100 = price(tiny, chips["h100"], Workload(1, 64, 16))
    owning = 28000 / (4 * 365.25 * 24 * 3600)
    running = h100.power_w / 3.6e6 * 1.58 * 0.083
    assert h100.usd_per_million_tokens == pytest.approx((owning + running) / h100.tokens_per_second * 1e6)


def test_notes_say_what_to_doubt(tiny: Program, chips: dict[str, Chip]) -> None:
    edge = price(tiny, chips["edge"], Workload(1, 500, 100))
    assert "600 tokens of context are more than the 512 the model was made for" in edge.notes
    assert any("area: estimated" in note for note in edge.notes)
    text = str(chips["h100"])
    bare = text[: text.index("  chip.calibration")] + "}"
    assert any("not calibrated" in note for note in price(tiny, parse_chip(bare), Workload(1, 8, 8)).notes)


# NVIDIA TensorRT-LLM v0.8.0 to v0.9.0, docs/source/performance.md: H100 SXM, weights and cache in fp8.
# batch, input, output, output tokens a second.
LLAMA_2_7B_ON_H100 = [
    (896, 128, 128, 20241), (120, 128, 2048, 6922), (64, 2048, 128, 2170), (56, 2048, 2048, 2816),
    (84, 2048, 128, 2163), (896, 128, 128, 19854),
]  # fmt: skip


def test_published_throughput_of_a_gpu_never_fitted_end_to_end(build_program: Build, chips: dict[str, Chip]) -> None:
    program = build_program("llama-2-7b", weights="fp8_e4m3", kv="fp8_e4m3")
    errors = [
        abs(price(program, chips["h100"], Workload(batch, input, output)).tokens_per_second / measured - 1)
        for batch, input, output, measured in LLAMA_2_7B_ON_H100
    ]
    assert sum(errors) / len(errors) < 0.10


def test_published_speed_of_a_latency_bound_rack(build_program: Build, chips: dict[str, Chip]) -> None:
    # Groq, 2024-02: Llama-2-7B at 750 and Llama-2-70B at 300 tokens a second for one user; only the first was fitted.
    for shape, count, measured in (("llama-2-7b", 40, 750), ("llama-2-70b", 576, 300)):
        program = build_program(shape, weights="int8", kv="float16")
        result = price(program, chips["groq-lpu"], Workload(1, 100, 100), chips=count)
        assert result.bound == "latency"
        assert result.tpot_s is not None
        assert 1 / result.tpot_s == pytest.approx(measured, rel=0.05)


def test_power_of_a_gpu_decoding_is_near_what_was_measured(build_program: Build, chips: dict[str, Chip]) -> None:
    # ML.ENERGY leaderboard, 2025-12: Llama-3.1-8B in bfloat16 on one H100, 63.9 requests at once, 610 W.
    program = build_program("llama-3.1-8b", weights="bfloat16", kv="bfloat16")
    assert price(program, chips["h100"], Workload(64, 250, 396)).power_w == pytest.approx(610, rel=0.1)


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
    with pytest.raises(CostError, match="at least 1 chip, got 0"):
        backend.cost(program, Workload(), chips=0)
