"""The records of vector unit and quantizer: commands of instructions, what they refuse, the machine they need."""

import re

import numpy as np
import pytest
from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, NoneAttr, StridedLayoutAttr, StringAttr

from codesign import api
from codesign.errors import CodesignError
from codesign.units.machine import SRAMS, VECTOR, Machine
from codesign.units.matmul import FLOAT_MULTIPLY
from codesign.units.quantizer import FLOAT_TO_INT, QUANTIZER
from codesign.units.vector import (
    FLOAT_ADD,
    FLOAT_DIVIDE,
    FLOAT_EXP,
    FLOAT_MAXIMUM,
    FLOAT_SQUARE_ROOT,
    IMMEDIATE,
    SCALAR,
    VECTOR_UNIT,
    WORDS,
    latency,
)
from codesign_dialects.microcode import VECTOR_FUNCTIONS, QuantizeOp, RegionOp, VectorOp
from codesign_verilog.folder import library_files

EDGE = api.load_chip("edge")
CHIP = EDGE.evolve(kv={"role": VECTOR}, quant={"lanes": 16})
MACHINE = Machine.of(CHIP.design)
WORD = 64


def rows(offset: int, shape: tuple[int, int], stride: int) -> RegionOp:
    """Rows of the vector SRAM: offset and stride in words."""
    layout = StridedLayoutAttr([16 * stride, 1])
    return RegionOp(WORD * offset, MemRefType(Float32Type(), shape, layout, StringAttr(VECTOR)))


def test_a_design_without_a_vector_sram_is_as_it_was() -> None:
    machine = Machine.of(EDGE.design)
    assert (machine.vector, machine.quantizer, tuple(machine.srams)) == (0, 0, SRAMS)


def test_the_machine_of_a_design_with_one() -> None:
    assert (MACHINE.vector, MACHINE.quantizer) == (16, 16)
    assert tuple(MACHINE.srams) == (*SRAMS, VECTOR)
    assert (MACHINE.srams[VECTOR].word, MACHINE.srams[VECTOR].nbytes) == (WORD, 256 << 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vpu": {"lanes": 12}}, "chip.vector @vpu: 1 of 12 lanes; one of 4, 8, 16, 32 lanes can be emitted"),
        ({"vpu": {"lanes": 64}}, "chip.vector @vpu: 1 of 64 lanes"),
        ({"vpu": {"count": 2}}, "chip.vector @vpu: 2 of 16 lanes"),
        ({"quant": {"lanes": 8}}, "chip.quantizer @quant: 1 of 8 lanes; one with the lanes of the vector unit, 16,"),
        ({"quant": {"count": 2}}, "chip.quantizer @quant: 2 of 16 lanes"),
        ({"mxu": {"width": 8}}, "no more than the matmul unit's width, 8"),
    ],
)
def test_a_design_that_cannot_be_emitted(changes, message) -> None:
    with pytest.raises(CodesignError) as error:
        Machine.of(CHIP.evolve(**changes).design)
    assert message in str(error.value)


def test_a_vector_command() -> None:
    source, scale, destination = rows(3, (5, 40), 4), rows(100, (5, 1), 1), rows(200, (5, 40), 3)
    instruction = VectorOp("divide", source.result, destination.result, operand=scale.result)
    instruction.verify()
    assert VECTOR_UNIT.command(instruction, MACHINE) == {
        **{"function": VECTOR_FUNCTIONS.index("divide"), "operand": SCALAR, "immediate": 0, "rows": 5, "length": 40},
        **{"a": 3, "a_stride": 4, "b": 100, "b_stride": 1, "result": 200, "result_stride": 3},
    }


def test_an_immediate_is_its_bits() -> None:
    region = rows(0, (1, 40), 3)
    command = VECTOR_UNIT.command(VectorOp("add", region.result, region.result, immediate=-0.1), MACHINE)
    assert (command["operand"], command["immediate"]) == (IMMEDIATE, int(np.float32(-0.1).view(np.uint32)))


def test_a_second_operand_may_serve_every_row() -> None:
    region, gain = rows(0, (4, 40), 3), rows(50, (4, 40), 0)
    instruction = VectorOp("multiply", region.result, region.result, operand=gain.result)
    command = VECTOR_UNIT.command(instruction, MACHINE)
    assert (command["operand"], command["b"], command["b_stride"]) == (WORDS, 50, 0)


@pytest.mark.parametrize(("offset", "stride"), [(4, 48), (64, 40)])
def test_rows_begin_at_whole_words(offset, stride) -> None:
    layout = StridedLayoutAttr([stride, 1])
    region = RegionOp(offset, MemRefType(Float32Type(), (2, 40), layout, StringAttr(VECTOR)))
    with pytest.raises(CodesignError, match="rows begin at words of 16 float32; a region at byte"):
        VECTOR_UNIT.command(VectorOp("exp", region.result, region.result), MACHINE)


@pytest.mark.parametrize(
    ("function", "source", "operand", "destination", "reads"),
    [
        ("exp", (10, 3), None, (10, 3), None),
        ("exp", (10, 3), None, (9, 3), None),
        ("exp", (10, 3), None, (11, 3), 11),
        ("exp", (10, 6), None, (13, 6), None),
        ("exp", (10, 0), None, (10, 3), 10),
        ("exp", (10, 0), None, (10, 0), 10),
        ("add", (10, 3), (40, 3), (41, 3), 41),
        ("add", (10, 3), (40, 0), (40, 3), 40),
    ],
)
def test_a_command_that_would_read_its_results(function, source, operand, destination, reads) -> None:
    """Four rows of three words; places are a word and a stride."""
    first, result = rows(source[0], (4, 48), source[1]), rows(destination[0], (4, 48), destination[1])
    second = rows(operand[0], (4, 48), operand[1]).result if operand else None
    instruction = VectorOp(function, first.result, result.result, operand=second)
    if reads is None:
        VECTOR_UNIT.command(instruction, MACHINE)
        return
    with pytest.raises(CodesignError, match=f"{function} reads word {reads} after it has written it"):
        VECTOR_UNIT.command(instruction, MACHINE)


@pytest.mark.parametrize(("place", "refused"), [((10, 3), False), ((12, 3), False), ((13, 1), True), ((9, 1), False)])
def test_a_reduction_writes_after_its_row(place, refused) -> None:
    source, destination = rows(10, (2, 48), 3), rows(place[0], (2, 1), place[1])
    instruction = VectorOp("reduce_sum", source.result, destination.result)
    if not refused:
        VECTOR_UNIT.command(instruction, MACHINE)
        return
    with pytest.raises(CodesignError, match="reduce_sum reads word 13 after"):
        VECTOR_UNIT.command(instruction, MACHINE)


def test_a_scalar_is_read_with_every_beat_of_its_row() -> None:
    region, scalar = rows(10, (1, 48), 3), rows(11, (1, 1), 1)
    with pytest.raises(CodesignError, match="subtract reads word 11 after"):
        VECTOR_UNIT.command(VectorOp("subtract", region.result, region.result, operand=scalar.result), MACHINE)


def test_a_quantize_command() -> None:
    source = rows(3, (2, 40), 5)
    activations = RegionOp(96, MemRefType(IntegerType(8), (2, 2, 32), NoneAttr(), StringAttr("activations")))
    scales = RegionOp(20, MemRefType(Float32Type(), (2,), NoneAttr(), StringAttr("activation_scales")))
    instruction = QuantizeOp(source.result, activations.result, scales.result)
    instruction.verify()
    assert QUANTIZER.command(instruction, MACHINE) == {
        **{"source": 3, "source_stride": 5, "activation": 3, "activation_scale": 5, "rows": 2, "length": 40},
    }


@pytest.mark.parametrize("unit", [VECTOR_UNIT, QUANTIZER], ids=lambda unit: unit.name)
def test_a_record_names_every_module_that_it_is_made_of(unit) -> None:
    texts = {path.stem: path.read_text() for path in library_files("rtl")}
    # The memory stands beside the unit; both trees need either kind of their units.
    named = set(unit.rtl)
    used = {unit.rtl[0]}
    while True:
        code = "".join(re.sub(r"//[^\n]*", "", texts[name]) for name in used)
        found = {name for name in texts if re.search(rf"\b{name}\b(?: #| u_|::)", code)} | used
        if found == used:
            break
        used = found
    assert named - {"sram_two_read"} == used


def test_stages_are_those_of_the_rtl() -> None:
    text = next(path for path in library_files("rtl") if path.name == "float_pkg.sv").read_text()
    multiply = re.search(r"FloatMultiplyLatency\s*=\s*(\d+)", text)
    assert multiply and int(multiply[1]) == FLOAT_MULTIPLY
    stage = re.search(r"BitsPerStage\s*=\s*(\d+)", text)
    assert stage
    steps = -(-26 // int(stage[1]))
    stages = {
        name: value
        for names, value in re.findall(r"^ +([\w, ]+): +return ([^;]+);", text, re.MULTILINE)
        for name in names.split(", ")
    }
    assert (int(stages["Add"]), int(stages["Max"])) == (FLOAT_ADD, FLOAT_MAXIMUM)
    assert (int(stages["Exp"]), int(stages["ToInt"])) == (FLOAT_EXP, FLOAT_TO_INT)
    assert (stages["Divide"], stages["Sqrt"]) == ("RecurrenceSteps + 3", "RecurrenceSteps + 2")
    assert (steps + 3, steps + 2) == (FLOAT_DIVIDE, FLOAT_SQUARE_ROOT)


def test_codes_are_those_of_the_rtl() -> None:
    text = next(path for path in library_files("rtl") if path.name == "vector_pkg.sv").read_text()
    functions, operands = re.findall(r"typedef enum logic \[\d:0\] {([^}]*)}", text)
    names = [re.sub(r"(?<!^)(?=[A-Z])", "_", name.strip()).lower() for name in functions.split(",")]
    assert tuple(names) == VECTOR_FUNCTIONS
    assert [name.strip() for name in operands.split(",")] == ["Words", "Scalar", "Immediate"]
    assert (WORDS, SCALAR, IMMEDIATE) == (0, 1, 2)


@pytest.mark.parametrize(("function", "cycles"), [("reduce_sum", 20), ("reduce_maximum", 5), ("exp", 8)])
def test_a_reduction_goes_through_tree_and_accumulator(function, cycles) -> None:
    assert latency(function, 16) == cycles
