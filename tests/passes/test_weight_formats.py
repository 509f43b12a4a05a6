"""``quantize`` to every weight format and by every method: what the executor runs; bytes in the IR, on disk, mapped."""

from dataclasses import replace

import numpy as np
import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.numerics.block_formats import decode, encode
from codesign.program import Program
from codesign.weights import StoredTensor, open_safetensors
from codesign_dialects.formats import encoding_of

FORMATS = {
    "weights=bfloat16": 16,
    "weights=float16": 16,
    "weights=fp8_e4m3": 8,
    "weights=fp8_e5m2 group=16 scale=e8m0": 8,
    "weights=fp4_e2m1 group=16 scale=fp8_e4m3": 4,
    "weights=int4 group=16 scale=float16": 4,
    "weights=uint4 group=16 scale=float16 zero=uint8": 4,
    "weights=uint4 group=16 scale=float16 offset=float16": 4,
    "weights=int2 per_tensor=true": 2,
    "weights=ternary per_tensor=true": 2,
    "weights=ternary5": 1.6,
    "weights=q4_0": 4,
    "weights=q8_0": 8,
    "weights=mxfp8_e4m3": 8,
    "weights=mxfp6_e3m2": 6,
    "weights=mxfp4": 4,
    "weights=mxint8": 8,
    "weights=nvfp4": 4,
    "weights=bitnet_b1_58": 2,
}
METHODS = ("mse", "gptq", "awq", "smoothquant")


@pytest.fixture(scope="module")
def llama(make_llama):
    return make_llama(hidden=32, feed_forward=64, heads=4, head_size=8)


@pytest.mark.parametrize("options", FORMATS)
def test_the_executor_computes_with_the_values_that_are_stored(llama, apply, session, options) -> None:
    program = apply(llama.program(), f"quantize{{{options}}}")
    stored = dict(llama.tensors)
    for parameter in program.parameters.values():
        encoding = encoding_of(parameter.type)
        for source in parameter.sources:
            if parameter.derivation is None:
                continue
            payload = encode(str(encoding), stored[source])
            assert payload.nbytes == encoding.nbytes(stored[source].shape)
            stored[source] = decode(str(encoding), payload, stored[source].shape)
        if parameter.derivation is not None:
            bits = 8 * parameter.nbytes / np.prod(parameter.type.get_shape())
            assert FORMATS[options] <= bits < FORMATS[options] + 2.1
    expected = session(type(llama)(llama.shape, stored).program()).step([[1, 2, 3]])
    # A head that stands in its file as it is multiplies in another order.
    np.testing.assert_allclose(session(program).step([[1, 2, 3]]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_bytes_in_the_ir_on_disk_and_mapped_are_equal(apply, session, tmp_path, method) -> None:
    model = api.load_model("embedded")
    program = apply(model, f"quantize{{weights=int4 group=32 method={method} samples=1}}")
    api.save(program, tmp_path / "program.mlir")
    file = open_safetensors(tmp_path / "program.safetensors")
    again = api.load_model(tmp_path / "program.mlir")
    quantized = [parameter for parameter in program.parameters.values() if encoding_of(parameter.type).companions]
    assert len(quantized) == 8
    for parameter in quantized:
        assert parameter.derivation is None
        tensors = [file.tensors[source] for source in parameter.sources]
        assert parameter.nbytes == sum(tensor.nbytes for tensor in tensors)
        for tensor in tensors:
            assert tensor.mapping is not None and tensor.format == str(encoding_of(parameter.type))
            np.testing.assert_array_equal(tensor.payload, again.weights[tensor.name].payload)
    logits = session(program, context=4).step([[1, 2, 3]]).copy()
    np.testing.assert_array_equal(session(again, context=4).step([[1, 2, 3]]), logits)


def test_methods_stay_nearer_to_the_model_than_rounding_does(held) -> None:
    options = f'weights=int4 group=32 samples=4 text="{held.calibration}"'
    nearest = held.divergence(f"quantize{{{options}}}")
    for method, part in (("mse", 1), ("awq", 1), ("gptq", 0.9)):
        assert held.divergence(f"quantize{{{options} method={method}}}") < part * nearest, method


def with_outliers(model: Program) -> Program:
    """The same function, exactly, with two channels before attention 256 times as strong and their weights as weak."""
    weights = dict(model.weights or {})
    strength = np.ones(128, np.float32)
    strength[[5, 77]] = 256
    for name, scale in {"attention_norm": strength, **dict.fromkeys(("query", "key", "value"), 1 / strength)}.items():
        for source in model.parameters[f"layers.{name}"].sources:
            values = weights[source].float32() * scale
            weights[source] = StoredTensor(source, values.shape, "float32", values.reshape(-1).view(np.uint8))
    return Program(model.module, weights)


def test_smoothquant_takes_outliers_out_of_integer_activations(held) -> None:
    hard = replace(held, model=with_outliers(held.model))
    options = f'weights=int8 activations=int8 samples=4 text="{held.calibration}"'
    assert hard.divergence("quantize{kv=float16}") < 1e-5, "the function is the same"
    rounded = hard.divergence(f"quantize{{{options}}}")
    assert rounded > 4 * held.divergence(f"quantize{{{options}}}")
    assert hard.divergence(f"quantize{{{options} method=smoothquant}}") < rounded / 4


def test_a_text_of_ones_own_calibrates(apply, tmp_path) -> None:
    model, text = api.load_model("embedded"), tmp_path / "text.txt"
    text.write_text("It was a fine day. " * 2000)
    ours = apply(model, f'quantize{{weights=int4 method=gptq samples=1 text="{text}"}}')
    theirs = apply(model, "quantize{weights=int4 method=gptq samples=1}")
    assert any((ours.weights[name].payload != theirs.weights[name].payload).any() for name in ours.weights)
    text.write_text("It was a fine day.")
    with pytest.raises(CodesignError, match=r"method=gptq: the calibration text has \d+ tokens; 1 windows of 512 need"):
        apply(model, f'quantize{{weights=int4 method=gptq samples=1 text="{text}"}}')
    with pytest.raises(CodesignError, match="cannot be read"):
        apply(model, f'quantize{{weights=int4 method=gptq text="{tmp_path}/none.txt"}}')


def test_the_executor_refuses_weights_that_are_not_what_the_type_says(llama, apply, session) -> None:
    program = apply(llama.program(), "quantize{weights=int8 activations=int8}")
    for parameter in program.parameters.values():
        parameter.derivation = None
    with pytest.raises(CodesignError, match=r"is said to store <int8.*the weights hold float32"):
        session(program).step([[1]])
