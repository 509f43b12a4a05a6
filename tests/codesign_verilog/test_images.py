"""The image of off-chip memory, read back by what the program says it holds."""

from math import cos, sin

import numpy as np
import pytest

from codesign import api
from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.numerics.block_formats import rounded
from codesign.numerics.quantization import Quantized
from codesign.units.machine import Machine
from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.microcode import ContentOp, ProgramOp
from codesign_verilog.images import build_image

INT8 = Encoding(number_format("int8"), plain("float32"))
SOURCES = {
    "layers.query": "model.layers.{}.self_attn.q_proj.weight",
    "layers.down": "model.layers.{}.mlp.down_proj.weight",
}


def lowered(llama, weights: str):
    chip = api.load_chip("edge").evolve(
        mxu={"lanes": 8, "width": 8, "tokens": 4, "results": 4}, vpu={"lanes": 4}, quant={"lanes": 4},
        dma={"width": 16}, dram={"channels": 2}, weights={"capacity": weights},
    )  # fmt: skip
    program = api.compile(llama.program(), chip, "quantize{weights=int8 activations=int8},lower-to-microcode")
    (microcode,) = [op for op in program.module.ops if isinstance(op, ProgramOp)]
    return program, microcode, Machine.of(chip_of(program.module).design)


def contents(microcode: ProgramOp, kind: str) -> dict[str, ContentOp]:
    return {
        "" if op.parameter is None else op.parameter.string_value(): op
        for op in microcode.contents
        if op.kind.data == kind
    }


def details(op: ContentOp) -> dict[str, float]:
    return {name: value.value.data for name, value in op.details.data.items()}


@pytest.mark.parametrize("weights", ["1 MiB", "2 KiB"])
@pytest.mark.parametrize("parameter", SOURCES)
@pytest.mark.parametrize("layer", [0, 1])
def test_weights(make_llama, weights, parameter, layer) -> None:
    """Row by row, input by input: byte (tile, slice, lane, position) of the row's job."""
    llama = make_llama()
    program, microcode, machine = lowered(llama, weights)
    image = build_image(microcode, program, machine)
    expected = Quantized.of(rounded(str(INT8), llama.tensors[SOURCES[parameter].replace("{}", str(layer))]))
    integers, scales = contents(microcode, "weights")[parameter], contents(microcode, "weight_scales")[parameter]
    rows, inputs = expected.integers.shape
    slices = -(-inputs // 8)
    job_rows = int(details(integers)["job_rows"])
    assert (job_rows < rows) == (weights == "2 KiB"), "one job where weights are resident, several where they stream"
    for row in range(rows):
        job, within = divmod(row, job_rows)
        start = (
            integers.offset.value.data + layer * integers.stride.value.data + job * int(details(integers)["job_stride"])
        )
        for column in range(slices * 8):
            at = start + ((within // 8 * slices + column // 8) * 8 + within % 8) * 8 + column % 8
            assert image[at : at + 1].view(np.int8)[0] == (expected.integers[row, column] if column < inputs else 0)
        start = scales.offset.value.data + layer * scales.stride.value.data + job * int(details(scales)["job_stride"])
        assert image[start + 4 * within :][:4].view(np.float32)[0] == expected.scales[row, 0]


def test_rows(make_llama) -> None:
    """The embedding table is quantized, as the head that shares it; norm weights stay as they are."""
    llama = make_llama()
    program, microcode, machine = lowered(llama, "1 MiB")
    image = build_image(microcode, program, machine)
    held = contents(microcode, "rows")
    table = Quantized.of(rounded(str(INT8), llama.tensors["model.embed_tokens.weight"])).dequantize()
    norms = np.array([llama.tensors[f"model.layers.{layer}.input_layernorm.weight"] for layer in range(2)])
    for name, expected in (("embedding", table), ("layers.attention_norm", norms)):
        op, stride = held[name], int(details(held[name])["row_stride"])
        assert op.offset.value.data % machine.port == 0
        for number, row in enumerate(expected):
            start = op.offset.value.data + number * stride
            assert np.array_equal(image[start : start + 4 * len(row)].view(np.float32), row)


def test_rotary(make_llama) -> None:
    program, microcode, machine = lowered(make_llama(), "1 MiB")
    image = build_image(microcode, program, machine)
    op = contents(microcode, "rotary")[""]
    assert op.rows.value.data >= 64 + 3, "the last block of a prompt loads rows behind the context"
    for position in (0, 1, 17, 63):
        start = op.offset.value.data + position * int(details(op)["row_stride"])
        row = image[start : start + 4 * 16].view(np.float32)
        angles = [position * 1e4 ** (-2 * i / 8) for i in range(4)]
        expected = [*map(cos, angles), *map(cos, angles), *(-sin(angle) for angle in angles), *map(sin, angles)]
        assert np.allclose(row, np.array(expected, np.float32), rtol=2e-7, atol=0)


def test_unknown_content(make_llama) -> None:
    program, microcode, machine = lowered(make_llama(), "1 MiB")
    first = microcode.body.block.first_op
    microcode.body.block.insert_op_before(ContentOp("songs", 0), first)
    with pytest.raises(CodesignError, match="off-chip memory holds 'songs', which is none of weights, weight_scales"):
        build_image(microcode, program, machine)
