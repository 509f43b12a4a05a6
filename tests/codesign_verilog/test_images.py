"""Memory images: read back by the layout that the microcode states, they are the traced operands."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.units.machine import Machine
from codesign_dialects.microcode import ProgramOp
from codesign_verilog.images import build_images

EDGE = api.load_chip("edge")


def tiles(region, memory) -> np.ndarray:
    """The elements of a region, as its type shapes them."""
    start = region.offset.value.data
    raw = memory[start : start + region.nbytes]
    kind = np.int8 if "i8" in str(region.result.type) else np.float32
    return raw.copy().view(kind).reshape(region.result.type.get_shape())


def products(program: ProgramOp, memory) -> Iterator[tuple[str, int, int, np.ndarray]]:
    """For each result region: its operation, first row, first token and values, computed from the image alone."""
    held = [
        (r, r.linear.string_value(), r.part.data, r.first_row.value.data, r.first_token.value.data)
        for r in program.regions_in_memory
    ]
    sources = {"layers.key": "layers.query", "layers.value": "layers.query", "layers.up": "layers.gate"}
    for region, name, part, row, token in held:
        if part != "result":
            continue
        tokens, rows = region.result.type.get_shape()

        def find(wanted: str, of: str, at: tuple[int, int], shape0: int) -> np.ndarray:
            for other, other_name, other_part, other_row, other_token in held:
                if (other_name, other_part, other_row, other_token) == (of, wanted, *at):
                    found = tiles(other, memory)
                    if shape0 in (found.shape[0], -1):
                        return found
            raise AssertionError((wanted, of, at))

        weight = find("weight", name, (row, 0), -1)
        scale = find("weight_scale", name, (row, 0), -1)
        inputs = find("input", sources.get(name, name), (0, token), tokens)
        input_scale = find("input_scale", sources.get(name, name), (0, token), tokens)
        matrix = weight.transpose(0, 2, 1, 3).reshape(rows, -1).astype(np.int64)
        sums = (inputs.reshape(tokens, -1).astype(np.int64) @ matrix.T).astype(np.float32)
        yield name, row, token, (sums * scale) * input_scale[:, None]


@settings(max_examples=25, phases=[Phase.generate])
@given(data=st.data())
def test_the_image_computes_what_was_traced(data, make_llama) -> None:
    """Weights in tiles, inputs in slices, padding without effect: the products of the image are the expected words."""
    sizes = st.integers(8, 40)
    shape = {
        "hidden": data.draw(sizes),
        "feed_forward": data.draw(sizes),
        "head_size": 2 * data.draw(st.integers(1, 8)),
    }
    chip = EDGE.evolve(
        mxu={"lanes": data.draw(st.sampled_from([8, 32])), "width": data.draw(st.sampled_from([8, 16])), "results": 8},
        dma={"width": data.draw(st.sampled_from([16, 64]))},
        weights={"capacity": data.draw(st.sampled_from(["16 KiB", "64 KiB"]))},
        results={"capacity": data.draw(st.sampled_from(["1 KiB", "64 KiB"]))},
    )
    tokens = data.draw(st.lists(st.integers(0, 47), min_size=1, max_size=10))
    program = api.compile(
        make_llama(data.draw(st.integers(0, 9)), **shape).program(), chip, "quantize{weights=int8 activations=int8}"
    )
    trace = plugins().backend(Executor).trace(program, tokens, layer=0)
    lowered = api.compile(program, None, f"lower-to-microcode{{tokens={len(tokens)}}}")
    (microcode,) = [op for op in lowered.module.ops if isinstance(op, ProgramOp)]
    machine = Machine.of(chip.design)
    images = build_images(microcode, trace, machine)
    assert len(images.memory) % machine.port == 0
    records = {record.name: record for record in trace}
    assert len(images.expected) == sum(record.result.size for record in trace)
    computed = {name: np.full(record.result.shape, np.nan, np.float32) for name, record in records.items()}
    for name, row, token, values in products(microcode, images.memory):
        rows = records[name].result.shape[1]
        computed[name][token : token + len(values), row : row + values.shape[1]] = values[:, : rows - row]
        assert not values[:, rows - row :].any(), "rows of padding give zero"
    for name, record in records.items():
        np.testing.assert_array_equal(computed[name].view(np.uint32), record.result.view(np.uint32))
    # The regions to compare hold the results, token by token, and start out as zeros.
    position = 0
    for first, count in images.regions:
        assert not images.memory[4 * first : 4 * (first + count)].any()
        position += count
    assert position == len(images.expected)


def test_a_product_that_was_not_traced_is_named(make_llama) -> None:
    program = api.compile(make_llama().program(), EDGE, "quantize{weights=int8 activations=int8}")
    trace = plugins().backend(Executor).trace(program, [1], layer=0)
    lowered = api.compile(program, None, "lower-to-microcode")
    (microcode,) = [op for op in lowered.module.ops if isinstance(op, ProgramOp)]
    partial = [record for record in trace if record.name != "layers.up"]
    with pytest.raises(CodesignError, match=r"the operands of @layers\.up, which the trace does not hold"):
        build_images(microcode, partial, Machine.of(EDGE.design))
