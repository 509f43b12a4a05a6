"""``lower-to-microcode``: every value computed once, on operands that nothing overwrites, on any chip of the shape."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.units.machine import Machine
from codesign_dialects.microcode import MEMORY, CopyOp, HaltOp, MatmulOp, ProgramOp, region_of

QUANTIZE = "quantize{weights=int8 activations=int8}"
MATRICES = ("query", "key", "value", "output", "gate", "up", "down")
INPUT_OF = {"layers.key": "layers.query", "layers.value": "layers.query", "layers.up": "layers.gate"}
"""Operations whose input is another's."""


EDGE = api.load_chip("edge")


def microcode(program) -> ProgramOp:
    (found,) = [op for op in program.module.ops if isinstance(op, ProgramOp)]
    return found


def span(region, port: int) -> range:
    """The bytes of a region, whole beats."""
    start = region.offset.value.data
    return range(start, start + ceil(region.nbytes / port) * port)


def overlap(a: range, b: range) -> bool:
    return max(a.start, b.start) < min(a.stop, b.stop)


def check(program, machine: Machine, shapes: dict[str, tuple[int, int]], tokens: int) -> None:
    """Follow the program, with the memory of each SRAM as what was last put there, and count each result."""
    done: dict[str, list[tuple[int, int]]] = {name: [] for name in shapes}
    stored = microcode(program).regions_in_memory
    spans = sorted((span(region, machine.port) for region in stored), key=lambda s: s.start)
    assert all(not overlap(a, b) for a, b in pairwise(spans)), "regions of memory are apart"
    assert all(s.start % machine.port == 0 and s.stop <= machine.memory_bytes for s in spans)
    held: dict[str, list[tuple[range, object]]] = {role: [] for role in machine.srams}
    busy: list[tuple[str, range]] = []  # what the multiplication in flight reads and writes

    def put(region, content) -> None:
        role, at = region.memory, span(region, machine.port)
        assert at.stop <= machine.srams[role].nbytes, f"{role}: {at} leaves {machine.srams[role].nbytes} bytes"
        assert at.start % machine.srams[role].word == 0 and at.start % machine.port == 0
        held[role] = [(other, what) for other, what in held[role] if not overlap(other, at)] + [(at, content)]

    def get(region) -> object:
        at = span(region, machine.port)
        for other, content in held[region.memory]:
            if other == at:
                return content
        raise AssertionError(f"{region.memory}: nothing whole lies at {at}")

    for op in microcode(program).instructions:
        match op:
            case CopyOp():
                source, destination = region_of(op.source), region_of(op.destination)
                if "matmul" in op.waits:
                    busy = []
                on_chip = source if destination.memory == MEMORY else destination
                clash = [
                    role for role, at in busy if role == on_chip.memory and overlap(at, span(on_chip, machine.port))
                ]
                assert not clash, f"a copy touches {clash} while a multiplication uses it"
                if source.memory == MEMORY:
                    put(destination, source)
                    continue
                name, row, token = get(source)
                assert (destination.linear.string_value(), destination.part.data) == (name, "result")
                assert (destination.first_row.value.data, destination.first_token.value.data) == (row, token)
                count, rows = destination.result.type.get_shape()
                done[name] += [(t, r) for t in range(token, token + count) for r in range(row, row + rows)]
            case MatmulOp():
                assert set(op.waits) == {"dma", "matmul"}
                regions = [region_of(operand) for operand in op.operands]
                operands = {region.memory: get(region) for region in regions if region.memory != "results"}
                parts = {role: operand.part.data for role, operand in operands.items()}
                assert parts == {
                    "weights": "weight",
                    "weight_scales": "weight_scale",
                    "activations": "input",
                    "activation_scales": "input_scale",
                }
                name = operands["weights"].linear.string_value()
                assert operands["weight_scales"].linear.string_value() == name
                for role in ("activations", "activation_scales"):
                    assert operands[role].linear.string_value() == INPUT_OF.get(name, name)
                row = {operands[role].first_row.value.data for role in ("weights", "weight_scales")}
                token = {operands[role].first_token.value.data for role in ("activations", "activation_scales")}
                count, _, slices = op.shape
                assert count <= machine.tokens
                assert slices == ceil(shapes[name][1] / machine.width)
                put(region_of(op.outputs), (name, *row, *token))
                busy = [(region.memory, span(region, machine.port)) for region in regions]
            case HaltOp():
                assert set(op.waits) == {"dma", "matmul"}
    for name, (rows, _) in shapes.items():
        padded = ceil(rows / machine.lanes) * machine.lanes
        assert sorted(done[name]) == [(t, r) for t in range(tokens) for r in range(padded)], name


@settings(max_examples=60, phases=[Phase.generate])  # shrinking thousands of instructions takes minutes
@given(data=st.data())
def test_every_row_and_token_is_computed_once(data, make_llama, apply) -> None:
    lanes, width = (data.draw(st.sampled_from([4, 8, 32])) for _ in range(2))
    port = data.draw(st.sampled_from([8, 64]))  # a beat shorter or longer than most words
    srams = {
        role: {"capacity": f"{data.draw(st.integers(1, 40)) * scale} B"}
        for role, scale in (
            ("weights", lanes * width),
            ("weight_scales", 4 * lanes),
            ("activations", 4 * width),
            ("activation_scales", 16),
            ("results", 8 * lanes),
        )
    }
    chip = EDGE.evolve(
        mxu={"lanes": lanes, "width": width, "tokens": data.draw(st.integers(1, 8)), "results": min(4, lanes)},
        dma={"width": port},
        **srams,
    )
    sizes = st.integers(1, 30)
    shape = {
        "hidden": data.draw(sizes),
        "heads": 2,
        "kv_heads": 1,
        "head_size": 2 * data.draw(st.integers(1, 8)),
        "feed_forward": data.draw(sizes),
        "vocabulary": 8,
    }
    tokens = data.draw(st.integers(1, 7))
    layer = data.draw(st.integers(0, 1))
    program = make_llama(**shape).program()
    pipeline = f"{QUANTIZE},lower-to-microcode{{tokens={tokens} layer={layer}}}"
    try:
        lowered = apply(program, pipeline, chip)
    except CodesignError as error:
        assert "short by" in str(error) or "are less than one word" in str(error)
        assume(False)
    matrices = {f"layers.{name}": lowered.parameters[f"layers.{name}"].type.get_shape()[1:] for name in MATRICES}
    assert microcode(lowered).sym_name.data == f"layer{layer}"
    check(lowered, Machine.of(chip.design), matrices, tokens)


def test_a_chip_of_the_library(make_llama, apply) -> None:
    lowered = apply(
        make_llama(hidden=200, feed_forward=700).program(), f"{QUANTIZE},lower-to-microcode{{tokens=19}}", EDGE
    )
    matrices = {f"layers.{name}": lowered.parameters[f"layers.{name}"].type.get_shape()[1:] for name in MATRICES}
    machine = Machine.of(chip_of(lowered.module).design)
    check(lowered, machine, matrices, 19)
    jobs = [op for op in microcode(lowered).instructions if isinstance(op, MatmulOp)]
    assert len(jobs) == 7 * ceil(19 / machine.tokens), "every matrix fits whole: one job for the tokens in flight"


def test_shared_operands_are_stored_once(make_llama, apply) -> None:
    """A weight that serves three blocks of tokens lies in memory once, and so does an input of several weights."""
    lowered = apply(make_llama().program(), f"{QUANTIZE},lower-to-microcode{{tokens=24}}", EDGE)
    parts = [(region.linear.string_value(), region.part.data) for region in microcode(lowered).regions_in_memory]
    for name in MATRICES:
        assert parts.count((f"layers.{name}", "weight")) == 1
        assert parts.count((f"layers.{name}", "result")) == 3
        assert parts.count((f"layers.{name}", "input")) == (0 if f"layers.{name}" in INPUT_OF else 3)


def test_skipped_matrices_are_left_out(make_llama, apply) -> None:
    pipeline = 'quantize{weights=int8 activations=int8 skip="layers.down"},lower-to-microcode'
    lowered = apply(make_llama().program(), pipeline, EDGE)
    assert {region.linear.string_value() for region in microcode(lowered).regions_in_memory} == {
        f"layers.{name}" for name in MATRICES if name != "down"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weights": {"capacity": "2 KiB"}},
            "@layers.down, double-buffered, does not fit: @weights needs 4096 bytes and has 2048 (short by 2048)",
        ),
        ({"weight_scales": {"capacity": "128 B"}}, "@weight_scales needs 256 bytes and has 128 (short by 128)"),
        ({"activations": {"capacity": "64 B"}}, "@activations needs 128 bytes and has 64 (short by 64)"),
        ({"activation_scales": {"capacity": "64 B"}}, "@activation_scales needs 128 bytes and has 64 (short by 64)"),
        ({"results": {"capacity": "128 B"}}, "@results needs 256 bytes and has 128 (short by 128)"),
        (
            {"control": {"microcode": 16}},
            "lower-to-microcode: the program needs 43 instructions; the chip has 16 (short by 27)",
        ),
        ({"dram": {"capacity": "1 KiB"}}, "bytes of off-chip memory; the chip has 1024 (short by "),
    ],
)
def test_a_chip_too_small_says_by_how_much(make_llama, apply, changes, message) -> None:
    with pytest.raises(CodesignError) as error:
        apply(make_llama().program(), f"{QUANTIZE},lower-to-microcode", EDGE.evolve(**changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("pipeline", "chip", "message"),
    [
        (f"{QUANTIZE},lower-to-microcode", None, "the program names no chip; compile it for one"),
        (f"{QUANTIZE},lower-to-microcode{{tokens=0}}", "edge", "tokens=0; at least one is needed"),
        (f"{QUANTIZE},lower-to-microcode{{layer=2}}", "edge", "lower-to-microcode: there is no layer 2"),
        (
            "lower-to-microcode",
            "edge",
            "no linear operation is on integers; run quantize{weights=int8 activations=int8} first",
        ),
        (f"{QUANTIZE},lower-to-microcode", "h100", "chip.core @sm: 132 cores; one can be emitted"),
    ],
)
def test_refusals(make_llama, apply, pipeline, chip, message) -> None:
    with pytest.raises(CodesignError) as error:
        apply(make_llama().program(), pipeline, chip and api.load_chip(chip))
    assert message in str(error.value)
