"""ONNX files that `codesign export` writes: checked by ONNX, run by our own executor and (nightly) by ONNX Runtime."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program

IDS = np.random.default_rng(0).integers(0, 40, 20).tolist()
CUTS = (0, 7, 8, 20)
SMOLLM2 = {"vocabulary": 256, "hidden": 576, "heads": 9, "kv_heads": 3, "head_size": 64, "feed_forward": 1536}


def steps(session):
    """Logits of a prompt, of one token and of several more."""
    return [session.step([IDS[start:end]], keep=end - start).copy() for start, end in pairwise(CUTS)]


def assert_same_logits(program: Program, path: Path) -> None:
    executor = plugins().backend(Executor)
    wanted = steps(executor.session(program, context=32))
    for one, other in zip(steps(executor.session(api.load_graph(path))), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(1, np.abs(other).max()))


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_model_of_smollm2_s_shape_computes_the_same_logits(make_llama, path):
    program = make_llama(**SMOLLM2).program()
    api.export(program, path)
    onnx.checker.check_model(path, full_check=True)
    assert {"Attention", "RMSNormalization", "RotaryEmbedding"} <= operators(path)
    assert_same_logits(program, path)
    greedy = [api.run(each, IDS, max_tokens=6).tokens for each in (program, api.load_graph(path), api.load_model(path))]
    assert greedy[0] == greedy[1] == greedy[2]


@pytest.mark.parametrize("model", ("gemma", "gpt2", "phi3", "qwen2"), indirect=True)
def test_a_family_computes_the_same_logits(model, path):
    api.export(model, path)
    onnx.checker.check_model(path, full_check=True)
    assert_same_logits(model, path)


@pytest.mark.parametrize("changes", [{"rotary_style": "interleaved"}, {"rotary_size": 4}, {"attention_softcap": 2.0}])
def test_rotary_embeddings_and_softcaps_are_kept(make_llama, path, changes):
    program = make_llama(**changes).program()
    api.export(program, path)
    assert_same_logits(program, path)


@pytest.mark.parametrize("kind", [{"window": 3}, {"chunk": 4}])
def test_windows_and_chunks_become_masks(make_llama, path, kind):
    from codesign.frontends.shape import Layer

    program = make_llama(pattern=(Layer("layer", **kind),)).program()
    api.export(program, path)
    assert_same_logits(program, path)
    plain = make_llama().program()
    with pytest.raises(AssertionError):
        assert_same_logits(plain, path)


@pytest.mark.parametrize(
    ("pipeline", "type", "remarked"),
    [
        ("fuse", onnx.TensorProto.FLOAT, False),
        ("quantize{weights=bfloat16}", onnx.TensorProto.BFLOAT16, False),
        ("quantize{weights=int8}", onnx.TensorProto.INT8, False),
        ("quantize{weights=int4 group=8}", onnx.TensorProto.INT4, False),
        ("quantize{weights=int8 activations=int8}", onnx.TensorProto.INT8, False),
        ("quantize{weights=fp8_e4m3}", onnx.TensorProto.FLOAT, True),
    ],
)
def test_weights_are_written_as_they_are_stored(make_llama, path, pipeline, type, remarked):
    program = api.compile(make_llama().program(), None, pipeline)
    exported = api.export(program, path)
    assert any("are written as float32" in remark for remark in exported.remarks) == remarked
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    assert type in {tensor.data_type for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL}
    onnx.checker.check_model(path)
    assert_same_logits(program, path)


def test_layers_share_what_they_have_in_common(make_llama, path):
    api.export(make_llama(layers=3).program(), path)
    graph = onnx.load(path).graph
    assert len([node for node in graph.node if node.op_type == "Cos"]) == 1
    assert len([node for node in graph.node if node.op_type == "Attention"]) == 3
    names = [name for node in graph.node for name in node.output]
    assert len(names) == len(set(names))
    assert "layers.2/RotaryEmbedding" in names
    shapes = {
        info.name: [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in graph.value_info
    }
    assert shapes["layers.2/RotaryEmbedding"] == ["batch", "tokens", 32]


def test_a_model_without_weights_has_them_as_inputs(tmp_path, path):
    exported = api.export(api.load_model("smollm2-135m"), path)
    assert not path.with_name("model.onnx.data").exists()
    assert "they are inputs of the graph" in exported.remarks[0]
    onnx.checker.check_model(path, full_check=True)
    assert len(onnx.load(path).graph.input) == 2 + 2 * 30 + 2 + 9 * 30


@pytest.mark.parametrize("model", ("mixtral", "gpt_oss"), indirect=True)
def test_what_the_standard_has_not_is_a_node_of_our_own(model, path):
    exported = api.export(model, path)
    assert any("transformer.moe has no form in the standard" in remark for remark in exported.remarks)
    onnx.checker.check_model(path)
    assert {"moe", "expert_gates"} <= operators(path)


def test_loops_over_blocks_are_refused(make_llama, path):
    program = api.compile(make_llama().program(), None, "block-attention{keys=8}")
    with pytest.raises(CodesignError, match=r"scf\.for is not written: leave out the pass that made it"):
        api.export(program, path)
    assert not list(path.parent.iterdir())


@pytest.mark.nightly
@pytest.mark.parametrize(
    "pipeline", ["", "fuse", "quantize{weights=int4 group=32}", "quantize{weights=int8 activations=int8}"]
)
def test_onnx_runtime_computes_the_same_logits(make_llama, path, pipeline):
    import onnxruntime

    program = api.compile(make_llama(**SMOLLM2).program(), None, pipeline)
    api.export(program, path)
    options = onnxruntime.SessionOptions()
    # Its optimizations multiply int8 weights with rounded activations.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    runtime = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in runtime.get_outputs()]
    caches = {
        value.name: np.zeros([1, value.shape[1], 0, value.shape[3]], np.float32)
        for value in runtime.get_inputs()
        if "past" in value.name
    }
    wanted = steps(plugins().backend(Executor).session(program, context=32))
    for (start, end), logits in zip(pairwise(CUTS), wanted, strict=True):
        inputs = {"input_ids": np.array([IDS[start:end]]), "position_ids": np.arange(start, end)[None], **caches}
        outputs = dict(zip(names, runtime.run(None, inputs), strict=True))
        np.testing.assert_allclose(outputs["logits"], logits, atol=1e-4 * max(1, np.abs(logits).max()))
        caches = {name: outputs[name.replace("past_key_values", "present")] for name in caches}
