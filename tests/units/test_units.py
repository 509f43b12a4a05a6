"""The units' records: commands as bits, and the machine that a chip's design describes."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.manager import plugins
from codesign.units.machine import SRAMS, Machine, beats
from codesign.units.matmul import FLOAT_MULTIPLY, INT_TO_FLOAT, pipeline

EDGE = api.load_chip("edge")
MACHINE = Machine.of(EDGE.design)
UNITS = list(plugins().units().values())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@given(data=st.data())
def test_a_command_is_unpacked_as_it_was_packed(unit, data) -> None:
    fields = unit.fields(MACHINE)
    command = {field.name: data.draw(st.integers(0, 2**field.bits - 1)) for field in fields}
    packed = unit.pack(command, MACHINE)
    assert packed < 1 << unit.bits(MACHINE)
    assert unit.unpack(packed, MACHINE) == command
    low = 0
    for field in fields:
        assert packed >> low & (1 << field.bits) - 1 == command[field.name], "from the lowest bit, in order"
        low += field.bits


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@given(data=st.data())
def test_a_value_outside_its_field_is_refused(unit, data) -> None:
    field = data.draw(st.sampled_from(unit.fields(MACHINE)))
    command = {other.name: 0 for other in unit.fields(MACHINE)}
    command[field.name] = data.draw(st.sampled_from([-1, 2**field.bits]))
    with pytest.raises(OverflowError, match=rf"{unit.name}: {field.name} = -?\d+ does not fit {field.bits} bits"):
        unit.pack(command, MACHINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_record_names_what_exists(unit) -> None:
    from codesign_verilog.folder import library_files

    assert set(unit.rtl) <= {path.stem for path in library_files("rtl")}
    assert unit.description and all(field.meaning for field in unit.fields(MACHINE))


def test_float_stages_are_those_of_the_rtl() -> None:
    from codesign_verilog.folder import library_files

    text = next(path for path in library_files("rtl") if path.name == "float_pkg.sv").read_text()
    stages = {name: int(value) for name, value in re.findall(r"(\w+)Latency\s*=\s*(\d+)", text)}
    assert (stages["IntToFloat"], stages["FloatMultiply"]) == (INT_TO_FLOAT, FLOAT_MULTIPLY)


@pytest.mark.parametrize(
    ("width", "levels", "stages"), [(8, 1, 3), (8, 2, 2), (8, 3, 1), (32, 2, 3), (33, 2, 3), (2, 4, 1)]
)
def test_the_adder_tree_is_registered_every_so_many_levels(width, levels, stages) -> None:
    machine = replace(MACHINE, width=width, levels=levels)
    assert pipeline(machine) == 1 + (1 + stages) + INT_TO_FLOAT + 2 * FLOAT_MULTIPLY


def test_the_machine_of_the_edge_chip() -> None:
    assert (MACHINE.lanes, MACHINE.width, MACHINE.tokens, MACHINE.port) == (32, 32, 8, 64)
    assert (MACHINE.latency, MACHINE.rate) == (100, 64), "100 ns at 1 GHz; 68 GB/s through 64 bytes a cycle"
    assert MACHINE.memory_bytes == 16 << 30
    assert {role: sram.nbytes for role, sram in MACHINE.srams.items()} == {
        "activations": 512 << 10,
        "activation_scales": 1 << 10,
        "weights": 2 << 20,
        "weight_scales": 16 << 10,
        "results": 256 << 10,
    }
    assert MACHINE.srams["weights"].word == 32 * 32 and MACHINE.srams["weights"].depth == 2048
    assert list(MACHINE.srams) == list(SRAMS)


@pytest.mark.parametrize(
    ("clock", "bandwidth", "latency", "cycles", "rate"),
    [
        ("2 GHz", "68 GB/s", "100 ns", 200, 34),
        ("1 GHz", "500 MB/s", "100 ns", 100, 1),
        ("1 GHz", "900 GB/s", None, 1, 64),
    ],
)
def test_the_memory_in_cycles(clock, bandwidth, latency, cycles, rate) -> None:
    chip = EDGE.evolve(edge={"clock": clock}, dram={"bandwidth": bandwidth, "latency": latency})
    machine = Machine.of(chip.design)
    assert (machine.latency, machine.rate) == (cycles, rate)


@given(nbytes=st.integers(1, 10**6), port=st.sampled_from([4, 16, 64]))
def test_beats_are_whole(nbytes, port) -> None:
    machine = replace(MACHINE, port=port)
    assert (beats(nbytes, machine) - 1) * port < nbytes <= beats(nbytes, machine) * port


@given(capacity=st.integers(64, 5000), port=st.sampled_from([16, 64, 128]))
def test_halves_of_an_sram_do_not_overlap(capacity, port) -> None:
    chip = EDGE.evolve(results={"capacity": f"{capacity} B"}, dma={"width": port})
    try:
        machine = Machine.of(chip.design)
    except CodesignError as error:
        assert capacity < machine_word(port) and "less than one word" in str(error)
        return
    sram, half = machine.srams["results"], machine.half("results")
    assert sram.nbytes <= capacity < sram.nbytes + max(sram.word, port)
    assert half % sram.word == half % port == 0
    assert 2 * half <= sram.nbytes < 2 * half + 2 * max(sram.word, port)


def machine_word(port: int) -> int:
    return max(MACHINE.srams["results"].word, port)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"core": {"count": 2}}, "chip.core @core: 2 cores; one can be emitted"),
        ({"mxu": {"count": 2}}, "it is 2 of dot_product"),
        ({"mxu": {"dataflow": "weight_stationary"}}, "it is 1 of weight_stationary, taking int8, int4, ternary"),
        ({"mxu": {"formats": ["bfloat16"]}}, "it is 1 of dot_product, taking bfloat16"),
        ({"mxu": {"results": 5}}, "chip.matmul @mxu: 5 results a cycle do not divide 32 lanes"),
        ({"mxu": {"width": 24}}, "chip.sram @activations: a word of 24 bytes; a power of two can be emitted"),
        ({"dma": {"width": 48}}, "a memory port of 48 bytes; a power of two can be emitted"),
        ({"weights": {"capacity": "1000 B"}}, "chip.sram @weights: 1000 bytes are less than one word of 1024"),
        (
            {"weights": {"role": "results"}},
            "design @edge has 0 of SRAM of role weights; a design with one can be emitted",
        ),
        ({"edge": {"clock": None}}, "clock"),
    ],
)
def test_a_design_that_cannot_be_emitted(changes, message) -> None:
    with pytest.raises(CodesignError) as error:
        Machine.of(EDGE.evolve(**changes).design)
    assert message in str(error.value)
