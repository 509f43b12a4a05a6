"""The records of matmul, vector unit, quantizer and argmax: what they say of the RTL, what their commands do."""

import re

import numpy as np
import pytest

from codesign.errors import CodesignError
from codesign.numerics.float32 import RUNNING_SUMS
from codesign.numerics.vector import FUNCTIONS
from codesign.units import stages
from codesign.units.argmax import ARGMAX
from codesign.units.matmul import KEYS, MATMUL, VALUES, WEIGHTS, pipeline
from codesign.units.memories import Memories
from codesign.units.quantizer import QUANTIZER
from codesign.units.record import Command
from codesign.units.vector import IMMEDIATE, SCALAR, VECTOR_UNIT, WORDS, latency
from codesign_verilog.folder import library_files
from tests.codesign_verilog.machines import make_machine

UNITS = (MATMUL, VECTOR_UNIT, QUANTIZER, ARGMAX)
MACHINE = make_machine()


def text(name: str) -> str:
    return next(path for path in library_files("rtl") if path.stem == name).read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_command_is_unpacked_as_it_was_packed(unit) -> None:
    command = {field.name: (1 << field.bits) - 1 - number for number, field in enumerate(unit.fields(MACHINE))}
    command = {field.name: command[field.name] % (1 << field.bits) for field in unit.fields(MACHINE)}
    assert unit.unpack(unit.pack(command, MACHINE), MACHINE) == command


def test_float_stages_are_those_of_the_rtl() -> None:
    package = text("float_pkg")
    named = {name: int(value) for name, value in re.findall(r"(\w+)Latency\s*=\s*(\d+)", package)}
    assert named == {"IntToFloat": stages.INT_TO_FLOAT, "FloatMultiply": stages.FLOAT_MULTIPLY}
    stage = re.search(r"BitsPerStage\s*=\s*(\d+)", package)
    assert stage
    steps = -(-26 // int(stage[1]))
    returned = {
        name: value
        for names, value in re.findall(r"^ +([\w, ]+): +return ([^;]+);", package, re.MULTILINE)
        for name in names.split(", ")
    }
    assert (int(returned["Add"]), int(returned["Max"])) == (stages.FLOAT_ADD, stages.FLOAT_MAXIMUM)
    assert stages.FLOAT_ADD == RUNNING_SUMS
    assert (int(returned["Exp"]), int(returned["ToInt"])) == (stages.FLOAT_EXP, stages.FLOAT_TO_INT)
    assert (returned["Divide"], returned["Sqrt"]) == ("RecurrenceSteps + 3", "RecurrenceSteps + 2")
    assert (steps + 3, steps + 2) == (stages.FLOAT_DIVIDE, stages.FLOAT_SQUARE_ROOT)


def enumerated(package: str) -> list[tuple[str, ...]]:
    """The names of each enumeration of a package, in snake case."""
    bodies = re.findall(r"typedef enum logic \[\d:0\] {([^}]*)}", text(package))
    return [tuple(re.sub(r"(?<!^)(?=[A-Z])", "_", name.strip()).lower() for name in body.split(",")) for body in bodies]


def test_codes_are_those_of_the_rtl() -> None:
    assert enumerated("vector_pkg") == [FUNCTIONS, ("words", "scalar", "immediate")]
    assert (WORDS, SCALAR, IMMEDIATE) == (0, 1, 2)
    assert enumerated("matmul_pkg") == [("weights", "keys", "values")]
    assert (WEIGHTS, KEYS, VALUES) == (0, 1, 2)
    assert enumerated("quantizer_pkg") == [("activations", "keys", "values")]


@pytest.mark.parametrize(("function", "cycles"), [("reduce_sum", 31), ("reduce_maximum", 5), ("exp", 12)])
def test_a_reduction_goes_through_tree_and_accumulator(function, cycles) -> None:
    assert latency(function, 16) == cycles


@pytest.mark.parametrize(("width", "levels", "dot"), [(8, 1, 4), (8, 2, 2), (8, 3, 2), (32, 2, 3), (4, 4, 1)])
def test_the_adder_tree_is_registered_every_so_many_levels(width, levels, dot) -> None:
    machine = make_machine(lanes=32, width=width, levels=levels)
    assert pipeline(machine) == 1 + dot + stages.INT_TO_FLOAT + 2 * stages.FLOAT_MULTIPLY


def vector_command(function: str, a: tuple[int, int], result: tuple[int, int], b: tuple[int, int] | None) -> Command:
    """Four rows of three words; places are a word of the vector memory and a stride."""
    second = (*b, WORDS) if b else (0, 0, IMMEDIATE)
    return {
        **{"function": FUNCTIONS.index(function), "rows": 4, "length": 12, "immediate": 0},
        **{"a": a[0], "a_stride": a[1], "result": result[0], "result_stride": result[1]},
        **{"b": second[0], "b_stride": second[1], "operand": second[2]},
    }


@pytest.mark.parametrize(
    ("function", "a", "b", "result", "reads"),
    [
        ("square_root", (10, 3), None, (10, 3), None),
        ("square_root", (10, 3), None, (9, 3), None),
        ("square_root", (10, 3), None, (11, 3), 11),
        ("square_root", (10, 6), None, (13, 6), None),
        ("square_root", (10, 0), None, (10, 3), 10),
        ("square_root", (10, 0), None, (10, 0), 10),
        ("add", (10, 3), (40, 3), (41, 3), 41),
        ("add", (10, 3), (40, 0), (40, 3), 40),
        ("reduce_sum", (10, 3), None, (10, 3), None),
        ("reduce_sum", (10, 3), None, (12, 3), None),
        ("reduce_sum", (10, 3), None, (13, 1), 13),
        ("reduce_sum", (10, 3), None, (9, 1), None),
    ],
)
def test_a_command_that_would_read_its_results(function, a, b, result, reads) -> None:
    command = vector_command(function, a, result, b)
    memories = Memories.of(MACHINE, np.zeros(0, np.uint8))
    if reads is None:
        VECTOR_UNIT.execute(command, memories)
        return
    with pytest.raises(CodesignError, match=f"{function} reads word {reads} after it has written it"):
        VECTOR_UNIT.execute(command, memories)


def test_a_scalar_is_read_with_every_beat_of_its_row() -> None:
    command = vector_command("subtract", (10, 3), (10, 3), None) | {"operand": SCALAR, "b": 11, "b_stride": 1}
    with pytest.raises(CodesignError, match="subtract reads word 11 after"):
        VECTOR_UNIT.execute(command, Memories.of(MACHINE, np.zeros(0, np.uint8)))


def test_keys_and_values_are_multiplied_as_they_were_appended() -> None:
    """A query's scores with every key, and a row of probabilities with every value: from the definition."""
    generator = np.random.default_rng(0)
    machine, dimension, positions = MACHINE, 16, 8
    memories = Memories.of(machine, np.zeros(0, np.uint8))
    vector = memories.words("vector", np.float32)
    rows = generator.normal(0, 1, (positions, dimension)).astype(np.float32)
    common = {"source_stride": 0, "rows": 1, "length": dimension, "tile_stride": 1, "scale_stride": 1, "row_stride": 0}
    for position, row in enumerate(rows):
        vector[:4] = row.reshape(4, 4)
        for destination, address in ((1, 10), (2, 20)):
            QUANTIZER.execute(
                common
                | {"source": 0, "destination": destination, "address": address, "offset": position, "scale": position},
                memories,
            )
    query = generator.normal(0, 1, dimension).astype(np.float32)
    vector[:4] = query.reshape(4, 4)
    to_activations = {"source": 0, "destination": 0, "address": 0, "offset": 0, "scale": 0}
    QUANTIZER.execute(common | to_activations, memories)
    product = {
        **{"activation": 0, "activation_scale": 0, "weight_scale": 0, "result": 0, "result_stride": 0, "tokens": 1},
    }
    scores = product | {"source": KEYS, "weight": 10, "weight_stride": 2, "k_slices": 2, "row_tiles": 1}
    MATMUL.execute(scores, memories)
    results = memories.srams["results"].view(np.float32)
    np.testing.assert_allclose(results[:positions], rows @ query, atol=0.1)

    value_scales = memories.srams["value_scales"].view(np.float32)[:positions]
    weighted = generator.random(positions).astype(np.float32)
    vector[:2] = (weighted * value_scales).reshape(2, 4)
    QUANTIZER.execute(common | to_activations | {"length": positions}, memories)
    sums = product | {"source": VALUES, "weight": 20, "weight_stride": 1, "k_slices": 1, "row_tiles": 2}
    MATMUL.execute(sums, memories)
    np.testing.assert_allclose(results[:dimension], weighted @ rows, atol=0.1)
