"""Quantized linear operations on the executor: bit for bit what integers and one rounding a product give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import TensorType, f32
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.errors import CodesignError
from codesign.ir import apply_passes, parse_passes
from codesign.plugins.manager import plugins
from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.formats import EncodingAttr
from codesign_dialects.transformer import GetOp, KVCacheType, LinearOp, ParameterOp, QuantizeOp
from codesign_numpy.executor import NumpyExecutor, NumpySession


def transformed(program, pipeline: str):
    passes = parse_passes(pipeline, plugins())
    return apply_passes(program, passes, plugins().context())


def rounded_rows(values, bits: int):
    """Rows as integers with a float32 scale each: float64 arithmetic, rounded once an operation."""
    limit = 2 ** (bits - 1) - 1
    scales = (np.abs(values).max(axis=1).astype(np.float64) / limit).astype(np.float32)
    scales[scales == 0] = 1
    quotients = (values.astype(np.float64) / scales[:, None].astype(np.float64)).astype(np.float32)
    return [[max(-limit, min(limit, round(float(q)))) for q in row] for row in quotients], scales


def product(inputs, input_scales, weights, weight_scales):
    """``(float32(sum) · weight scale) · input scale``, sums in Python's integers, each product rounded from float64."""
    out = np.empty((len(inputs), len(weights)), np.float32)
    for t, row in enumerate(inputs):
        for o, column in enumerate(weights):
            total = np.float32(sum(a * b for a, b in zip(row, column, strict=True)))
            scaled = np.float32(float(total) * float(weight_scales[o]))
            out[t, o] = np.float32(float(scaled) * float(input_scales[t]))
    return out


@settings(max_examples=25)
@given(data=st.data(), weight_bits=st.integers(2, 8), activation_bits=st.integers(2, 8))
def test_every_product_of_a_layer_is_exact(data, make_llama, shapes, weight_bits, activation_bits) -> None:
    shape = data.draw(shapes)
    llama = make_llama(data.draw(st.integers(0, 99)), **shape)
    layer = data.draw(st.integers(0, shape["layers"] - 1))
    tokens = data.draw(st.lists(st.integers(0, shape["vocabulary"] - 1), min_size=1, max_size=5))
    program = transformed(llama.program(), f"quantize{{weights=int{weight_bits} activations=int{activation_bits}}}")
    trace = NumpyExecutor().trace(program, tokens, layer=layer)
    assert [record.name for record in trace] == [
        f"layers.{name}" for name in ("query", "key", "value", "output", "gate", "up", "down")
    ]
    for record in trace:
        source = program.parameters[record.name].sources[layer]
        weights, weight_scales = rounded_rows(llama.tensors[source], weight_bits)
        assert record.weight.tolist() == weights
        np.testing.assert_array_equal(record.weight_scale, weight_scales[:, None])
        assert np.abs(record.input).max() <= 2 ** (activation_bits - 1) - 1
        expected = product(record.input.tolist(), record.input_scale, weights, weight_scales)
        np.testing.assert_array_equal(record.result.view(np.uint32), expected.view(np.uint32))
        assert record.layer == layer and len(record.input) == len(tokens)


def test_the_inputs_of_the_first_products_are_the_quantized_embedding(make_llama) -> None:
    """The trace's input is what arrives: the normed embedding of each token, one scale a token."""
    llama = make_llama()
    program = transformed(llama.program(), "quantize{weights=int8 activations=int8 skip=embedding}")
    query, key, value = NumpyExecutor().trace(program, [3, 5, 3], layer=0)[:3]
    x = llama.tensors["model.embed_tokens.weight"][[3, 5, 3]].astype(np.float64)
    normed = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + llama.shape.epsilon)
    normed *= llama.tensors["model.layers.0.input_layernorm.weight"]
    integers = np.rint(normed / np.abs(normed).max(axis=1, keepdims=True) * 127)
    assert np.abs(query.input - integers).max() <= 1, "float32 may round another way at a half"
    assert (query.input == integers).mean() > 0.95
    for other in (key, value):
        np.testing.assert_array_equal(other.input, query.input)
        np.testing.assert_array_equal(other.input_scale, query.input_scale)
    np.testing.assert_array_equal(query.input[0], query.input[2])


def test_a_fault_in_an_activation_stays_visible(make_llama) -> None:
    """As on the chip: a token whose values are not numbers gets logits that are not, and no other does."""
    llama = make_llama(layers=1)
    llama.tensors["model.embed_tokens.weight"][5, 3] = np.nan
    program = transformed(llama.program(), "quantize{weights=int8 activations=int8 skip=embedding}")
    logits = NumpySession(program, batch=2).step([[5], [4]])
    assert np.isnan(logits[0]).all() and np.isnan(logits[1]).sum() == 1, "the head holds the faulty row too"


@pytest.mark.parametrize("pipeline", ["quantize{weights=int4}", "quantize{weights=int4 group=8}"])
def test_weights_alone_are_computed_as_the_values_they_store(make_llama, reference, pipeline) -> None:
    """Float products with weights rounded to their stored values: a plain decoder of those values agrees."""
    llama = make_llama(hidden=24, feed_forward=40, heads=4, head_size=8, tied=False)
    logits = NumpySession(transformed(llama.program(), pipeline)).step([[1, 2, 3, 4]], keep=4)[0]
    tensors = dict(llama.tensors)
    for name, values in llama.tensors.items():
        if name.endswith("_proj.weight") or name == "lm_head.weight":
            rows = values.reshape(-1, 8 if "group" in pipeline else values.shape[1])
            integers, scales = rounded_rows(rows, 4)
            tensors[name] = (np.array(integers) * scales[:, None].astype(np.float64)).reshape(values.shape)
    expected = reference(type(llama)(llama.shape, tensors), [1, 2, 3, 4])
    assert np.abs(logits - expected).max() <= 2e-5 * np.abs(expected).max()
    unchanged = reference(llama, [1, 2, 3, 4])
    assert np.abs(logits - unchanged).max() > 1e-2, "int4 must show"


def test_a_tied_embedding_is_read_as_the_values_it_stores(make_llama) -> None:
    """The table that is also the head is quantized once; its rows enter the model rounded."""
    llama = make_llama(layers=1)
    name = "model.embed_tokens.weight"
    integers, scales = rounded_rows(llama.tensors[name], 8)
    rounded = (np.array(integers, np.float32) * scales[:, None]).astype(np.float32)
    quantized = transformed(llama.program(), 'quantize{weights=int8 skip="layers.*"}')
    same = type(llama)(llama.shape, {**llama.tensors, name: rounded})
    # The products are in float32 here, summed in an order of BLAS's own.
    np.testing.assert_allclose(
        NumpySession(quantized).step([[1, 2, 3]]), NumpySession(same.program()).step([[1, 2, 3]]), rtol=1e-5, atol=1e-6
    )


def find_linear(program, name: str) -> LinearOp:
    for op in program.module.walk():
        get = op.weight.owner if isinstance(op, LinearOp) else None
        if isinstance(get, GetOp) and get.parameter.string_value() == name:
            return op
    raise AssertionError(name)


def add_bias(program, name: str, source: str) -> None:
    """Give the linear operation on `name` the bias stored as `source`."""
    linear = find_linear(program, name)
    rows = linear.weight.type.get_shape()[0]
    parameter = ParameterOp("bias", TensorType(f32, [rows]), source)
    program.module.body.block.insert_op_before(parameter, program.module.body.block.first_op)
    get = GetOp(parameter)
    biased = LinearOp(linear.input, linear.weight, get.result)
    Rewriter.insert_op(get, InsertPoint.before(linear))
    Rewriter.replace_op(linear, biased)
    program.module.verify()


@pytest.mark.parametrize("pipeline", ["", "quantize{weights=int8 activations=int8}"])
def test_a_bias_is_added(make_llama, pipeline) -> None:
    """The head's bias: logits differ by exactly its float32 sum."""
    llama = make_llama(tied=False, vocabulary=24)
    plain_logits = NumpySession(transformed(llama.program(), pipeline)).step([[1, 2, 3]]).copy()
    program = llama.program()
    add_bias(program, "head", "model.norm.weight")
    logits = NumpySession(transformed(program, pipeline)).step([[1, 2, 3]])
    np.testing.assert_array_equal(logits[0, 0], plain_logits[0, 0] + llama.tensors["model.norm.weight"])


def set_encoding(value, encoding: Encoding) -> None:
    type = TensorType(value.type.element_type, value.type.get_shape(), EncodingAttr(encoding))
    Rewriter.replace_value_with_new_type(value, type)


GROUPED = Encoding(number_format("int8"), plain("float32"), block=8)


def test_blocks_of_weights_are_added_up_in_their_order(make_llama) -> None:
    program = make_llama(layers=1, hidden=24).program()
    program = transformed(program, "quantize{weights=int8 group=8 activations=int8 skip=embedding}")
    for record in NumpyExecutor().trace(program, [5, 2], layer=0):
        blocks = record.weight_scale.shape[1]
        assert blocks == record.weight.shape[1] // 8
        for row, result in enumerate(record.result.T):
            total = np.zeros(2, np.float32)
            for block in range(blocks):
                part = slice(8 * block, 8 * block + 8)
                sums = record.input[:, part].astype(np.int32) @ record.weight[row, part].astype(np.int32)
                scaled = sums.astype(np.float32) * record.weight_scale[row, block]
                total = scaled if block == 0 else total + scaled
            np.testing.assert_array_equal(result, total * record.input_scale)


def test_scales_of_blocks_of_an_input_are_refused(make_llama) -> None:
    program = transformed(make_llama().program(), "quantize{weights=int8 activations=int8 skip=embedding}")
    set_encoding(next(op for op in program.module.walk() if isinstance(op, QuantizeOp)).result, GROUPED)
    program.module.verify()
    with pytest.raises(CodesignError, match="per channel"):
        NumpySession(program).step([[1]])


@pytest.mark.parametrize(("format", "error"), [("float16", 1e-3), ("int8", 2e-2), ("fp8_e4m3", 0.1), ("int4", 0.3)])
def test_a_cache_holds_what_its_encoding_can(make_llama, format, error) -> None:
    """Every key and value is what rounding gives, one scale a token and head, and the logits move accordingly."""
    llama = make_llama(layers=1)
    program = transformed(llama.program(), f"quantize{{kv={format}}}")
    type = program.step.body.block.args[-1].type
    assert isinstance(type, KVCacheType) and type.encoding.data.element.name == format
    exact, session = NumpySession(llama.program()), NumpySession(program)
    tokens = [[3, 1, 4, 1, 5]]
    expected, logits = exact.step(tokens).copy(), session.step(tokens).copy()
    held, full = (own._pool.cache.keys[0, 0, :, :5] for own in (session, exact))
    if format.startswith("int"):
        limit = 2 ** (int(format[3:]) - 1) - 1
        largest = np.abs(full).max(axis=-1, keepdims=True)
        np.testing.assert_array_equal(held, np.rint(full * (limit / largest)).astype(np.float32) * (largest / limit))
    elif format == "float16":
        np.testing.assert_array_equal(held, full.astype(np.float16).astype(np.float32))
    assert 0 < np.abs(logits - expected).max() <= error * np.abs(expected).max()


@pytest.mark.parametrize(
    ("pipeline", "layer", "message"),
    [
        ("quantize{weights=int8 activations=int8}", 2, "random has layers 0 to 1; there is no layer 2"),
        ("quantize{weights=int8 activations=int8}", -1, "there is no layer -1"),
        ("quantize{weights=int8}", 0, "no linear operation is on integers: run the pass quantize"),
    ],
)
def test_there_is_nothing_to_trace(make_llama, pipeline, layer, message) -> None:
    with pytest.raises(CodesignError, match=message):
        NumpyExecutor().trace(transformed(make_llama().program(), pipeline), [1], layer=layer)
