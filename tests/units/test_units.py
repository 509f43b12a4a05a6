"""The units' records: commands as bits, and the machine that a chip's design describes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.manager import plugins
from codesign.units import stages
from codesign.units.machine import SRAMS, Machine
from codesign_verilog.folder import library_files

EDGE = api.load_chip("edge")
MACHINE = Machine.of(EDGE.design)
UNITS = list(plugins().units().values())
RTL = {path.stem: path.read_text() for path in library_files("rtl")}


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
def test_a_record_names_what_exists_and_all_that_it_is_made_of(unit) -> None:
    """The modules listed are the unit's own and those that they instantiate or take constants from, no more."""
    needed, found = {unit.name}, set[str]()
    while needed - found:
        name = (needed - found).pop()
        found.add(name)
        code = re.sub(r"//[^\n]*", "", RTL[name])
        needed |= {other for other in RTL if other != name and re.search(rf"\b{other}\b(?=\s*#|\s+u_|::|\s*;)", code)}
    assert set(unit.rtl) == found
    assert unit.description and all(field.meaning for field in unit.fields(MACHINE))


def test_float_stages_are_those_of_the_rtl() -> None:
    written = {name: int(value) for name, value in re.findall(r"(\w+)Latency\s*=\s*(\d+)", RTL["float_pkg"])}
    assert (written["IntToFloat"], written["FloatMultiply"]) == (stages.INT_TO_FLOAT, stages.FLOAT_MULTIPLY)


def test_the_machine_of_the_edge_chip() -> None:
    assert (MACHINE.lanes, MACHINE.width, MACHINE.tokens, MACHINE.port, MACHINE.channels) == (32, 32, 8, 64, 4)
    memory = MACHINE.memory
    assert (memory.latency, memory.rate, memory.nbytes) == (100, 64, 16 << 30), (
        "100 ns at 1 GHz; 64 of 68 bytes a cycle"
    )
    assert (memory.refresh_interval, memory.refresh_cycles) == (3906, 280)
    assert MACHINE.srams["weights"].word == 32 * 32 and MACHINE.srams["weights"].depth == 2048
    assert set(MACHINE.srams) == set(SRAMS)


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
    memory = Machine.of(chip.design).memory
    assert (memory.latency, memory.rate) == (cycles, rate)


@given(capacity=st.integers(64, 5000), port=st.sampled_from([16, 64, 128]))
def test_an_sram_is_cut_to_whole_words_of_both_its_sides(capacity, port) -> None:
    chip = EDGE.evolve(constants={"capacity": f"{capacity} B"}, dma={"width": port})
    grain = max(MACHINE.srams["constants"].word, port)
    if capacity < grain:
        with pytest.raises(CodesignError, match="less than one word"):
            Machine.of(chip.design)
        return
    sram = Machine.of(chip.design).srams["constants"]
    assert sram.nbytes <= capacity < sram.nbytes + grain
    assert sram.nbytes % port == sram.nbytes % sram.word == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"core": {"count": 2}}, "chip.core @core: 2 cores; one can be emitted"),
        ({"mxu": {"count": 2}}, "it is 2 of dot_product"),
        ({"mxu": {"dataflow": "weight_stationary"}}, "it is 1 of weight_stationary, taking int8, int4, ternary"),
        ({"mxu": {"formats": ["bfloat16"]}}, "it is 1 of dot_product, taking bfloat16"),
        ({"mxu": {"results": 5}}, "5 results a cycle and a width of 32 must both divide 32 lanes"),
        ({"mxu": {"width": 64}}, "16 results a cycle and a width of 64 must both divide 32 lanes"),
        ({"vpu": {"lanes": 64}}, "chip.vector @vpu: 1 of 64 lanes"),
        ({"quant": {"lanes": 8}}, "one with the lanes of the vector unit, 16, can be emitted"),
        ({"dma": {"width": 48}}, "4 channels for a port of 48 bytes; the port is a power of two"),
        ({"dma": {"width": 1024}}, "4 channels for a port of 1024 bytes"),
        ({"weights": {"capacity": "1000 B"}}, "chip.sram @weights: 1000 bytes are less than one word of 1024"),
        (
            {"weights": {"role": "shared"}},
            "design @edge has 0 of SRAM of role weights; a design with one can be emitted",
        ),
    ],
)
def test_a_design_that_cannot_be_emitted(changes, message) -> None:
    with pytest.raises(CodesignError) as error:
        Machine.of(EDGE.evolve(**changes).design)
    assert message in str(error.value)
