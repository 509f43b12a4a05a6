"""The library's chips: each reads, round-trips, gives a source for every figure, and states what its makers publish."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from codesign.chips import LIBRARY, Chip, ChipError, chip_of, parse_chip, read_chip
from codesign.program import TARGET
from codesign_dialects.chip import Core, Design, Matmul, Memory, Sram, Vector


@pytest.fixture(params=sorted(LIBRARY))
def chip(request: pytest.FixtureRequest) -> Chip:
    return read_chip(LIBRARY[request.param])


def design_of(name: str) -> Design:
    return read_chip(LIBRARY[name]).design


SYSTEMS = {
    "dgx-h100": ("h100", 8), "groqrack": ("groq_lpu", 64), "groq-576": ("groq_lpu", 576), "gb200": ("b200_1200w", 2),
    "gb200-nvl72": ("b200_1200w", 72), "helios": ("mi455x", 72), "lpx-rack": ("groq_lp30", 256),
    "trn2": ("trainium2", 16),
    "galaxy-wormhole": ("wormhole", 32), "galaxy-blackhole": ("blackhole", 32), "corsair-server": ("corsair", 8),
    "sohu-server": ("sohu", 8), "tpu-v4-pod": ("tpu_v4", 4096), "tpu-v5e-pod": ("tpu_v5e", 256),
    "tpu-v5p-pod": ("tpu_v5p", 8960), "tpu-v6e-pod": ("tpu_v6e", 256), "tpu-v7-cube": ("tpu_v7", 64),
}  # fmt: skip


@pytest.mark.parametrize(("name", "design", "chips"), [(name, *own) for name, own in SYSTEMS.items()])
def test_a_system_of_the_library_instantiates_a_design_of_the_library(name: str, design: str, chips: int) -> None:
    system = read_chip(LIBRARY[name])
    assert (system.chips, system.design.name) == (chips, design)
    assert system.design == design_of(design.replace("_", "-"))


def test_a_system_of_an_unknown_design_is_refused() -> None:
    with pytest.raises(ChipError, match=r"no design @h1000"):
        parse_chip("chip.system @server {chip.instance @gpu count(8) {design = @h1000}}")
    # A design that is there is not taken from the library.
    own = 'chip.design @h100 attributes {process = "7 nm", clock = "1 GHz"} {}'
    system = parse_chip(f"{own} chip.system @server {{chip.instance @gpu {{design = @h100}}}}")
    assert system.design.clock == 1e9


def test_a_system_that_instantiates_itself_is_refused() -> None:
    with pytest.raises(ChipError, match=r"no design @dgx_h100"):
        parse_chip("chip.system @dgx_h100 {chip.instance @gpu {design = @dgx_h100}}")


def test_round_trip(chip: Chip) -> None:
    again = parse_chip(str(chip))
    assert str(again) == str(chip)
    assert again.design == chip.design


def test_every_figure_has_a_source(chip: Chip) -> None:
    missing = [
        f"@{name} {figure}" for name, op in chip.parts().items() for figure in op.figures() if op.source(figure) is None
    ]
    assert not missing


def test_an_assumption_states_its_range(chip: Chip) -> None:
    # What a source calls an assumption and nothing more is a number between two others.
    for name, op in chip.parts().items():
        for key, source in op.part().sources.items():
            if source.startswith("estimated: assumption") and isinstance(getattr(op.part(), key, None), float):
                assert key in op.part().ranges, (name, key)


def test_every_design_can_compute_and_hold_data(chip: Chip) -> None:
    cores = chip.design.all(Core)
    assert cores
    assert any(core.all(Matmul) for core in cores)
    assert any(core.all(Vector) for core in cores)
    assert chip.design.all(Sram) or any(core.all(Sram) for core in cores)


@pytest.mark.parametrize(
    ("name", "number_format", "published"),
    [("h100", "bfloat16", 989.4e12), ("h100", "fp8_e4m3", 1978.9e12), ("h100", "int8", 1978.9e12),
     ("groq-lpu", "int8", 750e12), ("groq-lpu", "float16", 188e12), ("a100", "bfloat16", 312e12),
     ("a100", "int4", 1248e12),
     ("h200", "fp8_e4m3", 1978.9e12), ("b200", "bfloat16", 2250e12), ("b200", "fp4_e2m1", 9000e12),
     ("b200-1200w", "fp8_e4m3", 5000e12), ("mi300x", "bfloat16", 1307.4e12), ("mi300x", "fp8_e4m3", 2614.9e12),
     ("tpu-v4i", "bfloat16", 138e12), ("tpu-v4", "bfloat16", 275e12), ("tpu-v5e", "int8", 393e12),
     ("tpu-v5p", "bfloat16", 459e12), ("tpu-v6e", "bfloat16", 918e12), ("wormhole", "fp8_e4m3", 262e12),
     ("wormhole", "mxint8", 148e12), ("blackhole", "mxint8", 664e12), ("sn40l", "bfloat16", 638e12),
     ("corsair", "int8", 2400e12), ("corsair", "int4", 9600e12), ("wse-3", "float16", 15800e12),
     ("apple-m2-ultra", "float16", 27.2e12), ("apple-m4-max", "float16", 16e12), ("groq-lp30", "fp8_e4m3", 1230e12),
     ("grayskull", "int8", 368e12), ("grayskull", "bfloat16", 83e12), ("inferentia2", "bfloat16", 190e12),
     ("inferentia2", "int8", 380e12), ("trainium2", "bfloat16", 667e12), ("trainium2", "fp8_e4m3", 1299e12),
     ("tpu-v7", "bfloat16", 2307e12), ("tpu-v7", "fp8_e4m3", 4614e12), ("mythic-m1076", "int8", 25e12),
     ("mi455x", "fp8_e4m3", 10e15)],
)  # fmt: skip
def test_peak_rates_are_the_published_ones(name: str, number_format: str, published: float) -> None:
    design = design_of(name)
    macs = sum(core.count * matmul.macs(number_format) for core in design.all(Core) for matmul in core.all(Matmul))
    assert 2 * macs * design.clock == pytest.approx(published, rel=0.03)


def test_edge_reads_a_weight_word_a_cycle_and_its_port_fits_its_memory() -> None:
    from codesign_dialects.chip import Dma

    design = design_of("edge")
    (core,) = design.all(Core)
    (matmul,), (dma,), (memory,) = core.all(Matmul), core.all(Dma), design.all(Memory)
    weights = next(sram for sram in core.all(Sram) if sram.role == "weights")
    assert weights.width == matmul.lanes * matmul.width
    assert dma.width * design.clock <= memory.bandwidth < 2 * dma.width * design.clock


def test_evolve_changes_a_copy_by_symbol() -> None:
    edge = read_chip(LIBRARY["edge"])
    before = str(edge)
    changed = edge.evolve(
        mxu={"lanes": 64}, weights={"capacity": "4 MiB", "width": 2048}, edge={"clock": "2 GHz"}, core={"count": 3}
    )
    assert str(edge) == before
    (core,) = changed.design.all(Core)
    assert (core.count, core.all(Matmul)[0].lanes, changed.design.clock) == (3, 64, 2e9)
    assert next(sram for sram in core.all(Sram) if sram.name == "weights").capacity == 4 * 2**20
    assert changed.evolve(mxu={"sparsity": None}).design.all(Core)[0].all(Matmul)[0].sparsity is None


def test_an_evolved_figure_does_not_keep_its_source() -> None:
    faster = read_chip(LIBRARY["h100"]).evolve(hbm={"bandwidth": "8 TB/s"}, sm={"count": 264})
    assert faster.parts()["hbm"].source("bandwidth") == "chosen: set by evolve"
    assert faster.parts()["sm"].source("count") == "chosen: set by evolve"
    assert "datasheet" in (faster.parts()["hbm"].source("capacity") or "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mxv": {"lanes": 64}}, "has no part called 'mxv'. Did you mean mxu"),
        ({"mxu": {"lane": 64}}, "unknown parameter 'lane'. Did you mean lanes?"),
        ({"mxu": {"lanes": "many"}}, "lanes: expected a whole number from 1"),
        ({"mxu": {"lanes": object()}}, "expected text, a number, a list or a mapping"),
        ({"mxu": {"lanes": True}}, "expected text, a number, a list or a mapping, got True"),
        ({"dram": {"capacity": 16}}, '16 has no unit; a capacity is written like "16 GiB"'),
        ({"dram": {"capacity": None}}, "missing parameter 'capacity'"),
        ({"core": {"count": 0}}, "count: expected a whole number from 1, got 0"),
    ],
)
def test_evolve_refuses_with_what_would_be_right(changes: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ChipError) as error:
        read_chip(LIBRARY["edge"]).evolve(**changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=25)
@given(lanes=st.integers(1, 4096), width=st.integers(1, 4096), count=st.integers(1, 64))
def test_evolve_and_text_agree(lanes: int, width: int, count: int) -> None:
    changed = read_chip(LIBRARY["edge"]).evolve(mxu={"lanes": lanes, "width": width, "count": count})
    (matmul,) = parse_chip(str(changed)).design.all(Core)[0].all(Matmul)
    assert matmul.macs("int8") == lanes * width * count


def test_a_chip_goes_into_a_program_and_comes_back(chip: Chip) -> None:
    module = ModuleOp([])
    assert chip_of(module) is None
    read_chip(LIBRARY["edge"]).put_into(module)
    chip.put_into(module)
    module.verify()
    assert str(module.attributes[TARGET]) == f"@{chip.name}"
    found = chip_of(module)
    assert found is not None
    assert found.design == chip.design


def test_a_system_has_chips() -> None:
    text = str(read_chip(LIBRARY["h100"])) + "\nchip.system @server {chip.instance @gpu count(8) {design = @h100}}"
    system = parse_chip(text)
    assert (system.name, system.chips, system.design.name) == ("server", 8, "h100")
    assert system.evolve(gpu={"count": 4}).chips == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip.desin @x", "bad.mlir:1:"),
        ('chip.design @x attributes {process = "7 nm"} {}', "missing parameter 'clock'"),
        ("builtin.module {}", "expected one chip.design"),
        ("", "could not parse"),
        ("builtin.module {builtin.module {}}", "holds chip.design and chip.system, not builtin.module"),
        ("\u0000", "bad.mlir:1:"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text(text)
    with pytest.raises(ChipError) as error:
        read_chip(path)
    assert message.lower() in str(error.value).lower()
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(LIBRARY)))
def test_a_damaged_file_reads_or_is_refused_in_one_line(data: st.DataObject, name: str) -> None:
    text = LIBRARY[name].read_text()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 40)))
    junk = data.draw(
        st.sampled_from(["", '"', "{", "}", "[", "@", "%x", "-1", "1e999", "true", "loc(", "\\", "// ", "é"])
    )
    try:
        parse_chip(text[:start] + junk + text[stop:])
    except ChipError as error:
        assert "\n" not in str(error)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChipError, match="cannot be read as a chip"):
        read_chip(tmp_path / "none.mlir")
    (tmp_path / "binary.mlir").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChipError, match="cannot be read as a chip"):
        read_chip(tmp_path / "binary.mlir")
