"""Decoders of generic operators, run as they are: what their inputs are for, and their cache."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.standard_normal((12, 8), np.float32)
HEAD = RANDOM.standard_normal((8, 12), np.float32)


def saved(path, nodes, inputs, outputs, constants=()):
    """A graph whose inputs and outputs are given as ``name: (type, shape)``."""
    values = [
        [helper.make_tensor_value_info(name, *value) for name, value in group.items()] for group in (inputs, outputs)
    ]
    tensors = [
        numpy_helper.from_array(array, name)
        for name, array in {"table": TABLE, "head": HEAD, **dict(constants)}.items()
    ]
    graph = helper.make_graph(nodes, "graph", *values, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    path.write_bytes(model.SerializeToString())
    return path


IDS = {"input_ids": (TensorProto.INT64, ["batch", "tokens"])}
LOGITS = {"logits": (TensorProto.FLOAT, ["batch", "tokens", 12])}
NODE = helper.make_node


@pytest.fixture
def plain(tmp_path):
    """A decoder without cache, of each token the sum of all until it, that takes all that such graphs take."""
    nodes = [
        NODE("Gather", ["table", "input_ids"], ["rows"]),
        NODE("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        NODE("Unsqueeze", ["mask", "last"], ["column"]),
        NODE("Mul", ["rows", "column"], ["masked"]),
        NODE("CumSum", ["masked", "one"], ["sums"]),
        NODE("Cast", ["position_ids"], ["places"], to=TensorProto.FLOAT),
        NODE("Unsqueeze", ["places", "last"], ["place"]),
        NODE("Add", ["sums", "place"], ["moved"]),
        NODE("MatMul", ["moved", "head"], ["all"]),
        NODE("Neg", ["num_logits_to_keep"], ["first"]),
        NODE("Unsqueeze", ["first", "zero"], ["start"]),
        NODE("Slice", ["all", "start", "end", "middle"], ["logits"]),
    ]
    inputs = {
        **IDS,
        "attention_mask": (TensorProto.INT64, ["batch", "total"]),
        "position_ids": (TensorProto.INT64, ["batch", "tokens"]),
        "num_logits_to_keep": (TensorProto.INT64, []),
    }
    numbers = {"last": [-1], "zero": [0], "middle": [1], "end": [1 << 40]}
    constants = {name: np.array(value) for name, value in numbers.items()} | {"one": np.array(1)}
    return saved(tmp_path / "plain.onnx", nodes, inputs, LOGITS, constants)


def session_of(path, batch=1):
    return plugins().backend(Executor).session(api.load_graph(path), batch=batch)


def test_without_a_cache_every_step_sees_all_tokens(plain):
    session = session_of(plain, batch=2)
    ids = RANDOM.integers(0, 12, (2, 7))
    wanted = (np.cumsum(TABLE[ids], 1) + np.arange(7)[:, None]) @ HEAD
    first = session.step(ids[:, :4].tolist(), keep=2)
    np.testing.assert_allclose(first, wanted[:, 2:4], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(session.step(ids[:, 4:].tolist(), keep=3), wanted[:, 4:], rtol=1e-5, atol=1e-5)
    session.reset()
    np.testing.assert_array_equal(session.step(ids[:, :4].tolist(), keep=2), first)


def test_tokens_follow_greedily(plain):
    result = api.run(api.load_graph(plain), [3, 1], max_tokens=5)
    ids = [3, 1]
    for _ in range(5):
        ids.append(int(np.argmax((TABLE[ids].sum(0) + len(ids) - 1) @ HEAD)))
    assert list(result.tokens) == ids[2:]


def test_what_is_no_decoder_is_refused_with_what_it_takes(tmp_path):
    nodes = [NODE("MatMul", ["x", "head"], ["logits"])]
    path = saved(
        tmp_path / "m.onnx", nodes, {"x": (TensorProto.FLOAT, [2, 8])}, {"logits": (TensorProto.FLOAT, [2, 12])}
    )
    with pytest.raises(CodesignError, match=r"it takes x \(tensor<2x8xf32>\) and gives logits .*`codesign compute`"):
        api.run(api.load_graph(path), [1])


def test_a_cache_of_a_fixed_number_of_tokens_is_refused(tmp_path):
    nodes = [
        NODE("Gather", ["table", "input_ids"], ["rows"]),
        NODE("MatMul", ["rows", "head"], ["logits"]),
        NODE("Identity", ["past"], ["present"]),
    ]
    cache = (TensorProto.FLOAT, ["batch", 2, 16, 4])
    path = saved(tmp_path / "m.onnx", nodes, {**IDS, "past": cache}, {**LOGITS, "present": cache})
    with pytest.raises(CodesignError, match=r"the input past is a tensor<\?x2x16x4xf32>: a cache is"):
        api.run(api.load_graph(path), [1])


def test_sequences_of_a_step_are_of_one_length(plain):
    with pytest.raises(CodesignError, match="as many tokens, at least one, for each of 2 sequences"):
        session_of(plain, batch=2).step([[1, 2], [3]])


def test_what_needs_a_decoder_of_the_dialect_says_so(plain):
    with pytest.raises(CodesignError, match="plain is a graph of generic operators, which are run as they are"):
        api.cost(api.compile(api.load_graph(plain), api.load_chip("h100")))
