"""ONNX graphs of decoders, in the forms that exporters write, become decoders of the transformer dialect."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from codesign import api
from codesign.frontends.lift.lifting import LIFTED, NOT_LIFTED
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign_dialects.formats import encoding_of

IDS = [3, 17, 5, 40, 22, 9, 1]
HIDDEN, HEADS, KV_HEADS, SIZE, WIDTH, VOCABULARY = 64, 4, 2, 16, 96, 48


class Onnxruntime:
    """A graph as ONNX Runtime's model builder writes it: grouped attention, packed weights, norms after a sum."""

    def __init__(self, bits, zeros):
        self.random, self.bits, self.zeros = np.random.default_rng(0), bits, zeros
        self.nodes, self.tensors = [], []

    def node(self, operator, inputs, outputs, domain="com.microsoft", **attributes):
        self.nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def tensor(self, name, array):
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name, rows, columns):
        if not self.bits:
            array = self.random.standard_normal((columns, rows), np.float32) / np.float32(np.sqrt(columns))
            return self.tensor(name, array)
        return None

    def product(self, x, name, rows, columns):
        if not self.bits:
            return self.node("MatMul", [x, self.weight(name, rows, columns)], [f"{name}.out"], domain="")
        blocks = columns // 32
        packed = self.random.integers(0, 256, (rows, blocks, 4 * self.bits), np.uint8)
        scales = (0.02 + 0.02 * self.random.random((rows, blocks), np.float32)) * np.float32(8 / 2**self.bits)
        inputs = [x, self.tensor(f"{name}.q", packed), self.tensor(f"{name}.s", scales)]
        if self.zeros:
            zeros = self.random.integers(0, 256, (rows, -(-blocks * self.bits // 8)), np.uint8)
            inputs.append(self.tensor(f"{name}.z", zeros))
        return self.node(
            "MatMulNBits", inputs, [f"{name}.out"], K=columns, N=rows, bits=self.bits, block_size=32, accuracy_level=4
        )

    def norm(self, name):
        return self.tensor(name, (1 + 0.1 * self.random.standard_normal(HIDDEN)).astype(np.float32))

    def save(self, path, layers=2, **attention):
        table = self.tensor("embed", self.random.standard_normal((VOCABULARY, HIDDEN), np.float32))
        angles = np.outer(np.arange(64), 10000.0 ** (-np.arange(SIZE // 2) / (SIZE // 2)))
        caches = [self.tensor(name, f(angles).astype(np.float32)) for name, f in (("cos", np.cos), ("sin", np.sin))]
        for name, value in (("one", [1]), ("axis", [1])):
            self.tensor(name, np.array(value, np.int64))
        self.node("ReduceSum", ["attention_mask", "axis"], ["sums"], domain="", keepdims=0)
        self.node("Sub", ["sums", "one"], ["less"], domain="")
        lengths = self.node("Cast", ["less"], ["lengths"], domain="", to=TensorProto.INT32)
        self.node("Shape", ["attention_mask"], ["extents"], domain="", start=1, end=2)
        self.node("Squeeze", ["extents"], ["extent"], domain="")
        total = self.node("Cast", ["extent"], ["total"], domain="", to=TensorProto.INT32)
        stream = self.node("Gather", [table, "input_ids"], ["rows"], domain="")
        x = self.node("SimplifiedLayerNormalization", [stream, self.norm("n0")], ["x0"], domain="", epsilon=1e-5)
        inputs = [
            helper.make_tensor_value_info(n, TensorProto.INT64, ["b", s])
            for n, s in (("input_ids", "t"), ("attention_mask", "a"))
        ]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "t", VOCABULARY])]
        for layer in range(layers):
            q, k, v = (
                self.product(x, f"l{layer}.{name}", count * SIZE, HIDDEN)
                for name, count in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS))
            )
            past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
            present = [f"present.{layer}.{part}" for part in ("key", "value")]
            for values, names, extent in ((inputs, past, "p"), (outputs, present, "s")):
                values += [
                    helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", KV_HEADS, extent, SIZE]) for n in names
                ]
            attended = self.node(
                "GroupQueryAttention",
                [q, k, v, *past, lengths, total, *caches],
                [f"a{layer}", *present],
                num_heads=HEADS,
                kv_num_heads=KV_HEADS,
                do_rotary=1,
                **attention,
            )
            added = self.product(attended, f"l{layer}.o", HIDDEN, HEADS * SIZE)
            for half in ("f", "m"):
                name = f"l{layer}.{half}"
                self.node(
                    "SkipSimplifiedLayerNormalization",
                    [stream, added, self.norm(f"{name}.n")],
                    [f"{name}.x", "", "", f"{name}.s"],
                    epsilon=1e-5,
                )
                stream, x = f"{name}.s", f"{name}.x"
                if half == "f":
                    gate, up = (self.product(x, f"{name}.{part}", WIDTH, HIDDEN) for part in ("g", "u"))
                    self.node("Sigmoid", [gate], [f"{name}.c"], domain="")
                    self.node("Mul", [gate, f"{name}.c"], [f"{name}.w"], domain="")
                    self.node("Mul", [f"{name}.w", up], [f"{name}.h"], domain="")
                    added = self.product(f"{name}.h", f"{name}.d", HIDDEN, WIDTH)
        self.node(
            "MatMul",
            [x, self.tensor("head", self.random.standard_normal((HIDDEN, VOCABULARY), np.float32))],
            ["logits"],
            domain="",
        )
        graph = helper.make_graph(self.nodes, "graph", inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
        return path


def logits(program):
    session = plugins().backend(Executor).session(program, context=16)
    return [session.step([part], keep=len(part)).copy() for part in (IDS[:4], IDS[4:5], IDS[5:])]


def assert_lifted(path):
    """The decoder that a file becomes; it computes what the graph does, with its cache."""
    program = api.load_model(path)
    assert NOT_LIFTED not in program.module.attributes, program.module.attributes[NOT_LIFTED]
    assert LIFTED in program.module.attributes
    for one, other in zip(logits(program), logits(api.load_graph(path)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(1.0, np.abs(other).max()))
    return program


def stored_as(program):
    return {str(encoding_of(p.type)) for name, p in program.parameters.items() if "norm" not in name}


@pytest.mark.parametrize(
    ("bits", "zeros", "encoding"),
    [
        (0, False, "float32"),
        (4, False, "int4, scale = <float32>, per = 32"),
        (4, True, "uint4, scale = <float32>, zero = <uint4>, per = 32"),
        (8, False, "int8, scale = <float32>, per = 32"),
    ],
)
def test_a_graph_of_onnx_runtime_s_model_builder(tmp_path, bits, zeros, encoding):
    program = assert_lifted(Onnxruntime(bits, zeros).save(tmp_path / "model.onnx"))
    assert program.step.body.block.args[-1].type.heads.data == KV_HEADS
    assert stored_as(program) == {"float32", encoding}


def test_its_window_is_kept(tmp_path):
    program = assert_lifted(Onnxruntime(0, False).save(tmp_path / "model.onnx", local_window_size=3))
    assert "window = 3" in str(program)


def test_passes_costs_and_runs_take_the_decoder(tmp_path):
    path = Onnxruntime(4, False).save(tmp_path / "model.onnx")
    program = api.load_model(path)
    greedy = api.run(program, IDS, max_tokens=8).tokens
    assert greedy == api.run(api.load_graph(path), IDS, max_tokens=8).tokens
    compiled = api.compile(program, api.load_chip("h100"), "block-attention{keys=8}")
    assert api.cost(compiled).to_dict()["tokens_per_second"] > 0
    api.save(program, tmp_path / "saved.mlir")
    assert api.run(api.load_model(tmp_path / "saved.mlir"), IDS, max_tokens=8).tokens == greedy


@pytest.mark.parametrize(
    ("pipeline", "encoding"),
    [
        ("", "float32"),
        ("fuse", "float32"),
        ("quantize{weights=int8}", "int8, scale = <float32>, per = channel"),
        ("quantize{weights=int4 group=8}", "int4, scale = <float32>, per = 8"),
    ],
)
def test_what_was_exported_comes_back(make_llama, tmp_path, pipeline, encoding):
    program = api.compile(make_llama().program(), None, pipeline)
    api.export(program, tmp_path / "model.onnx")
    again = assert_lifted(tmp_path / "model.onnx")
    assert encoding in stored_as(again)
    for one, other in zip(logits(again), logits(program), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(1.0, np.abs(other).max()))


def test_what_is_no_decoder_stays_a_graph_and_says_why(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    )
    program = api.load_model(path)
    assert "one input of token ids" in program.module.attributes[NOT_LIFTED].data
    np.testing.assert_array_equal(api.compute(program, {"x": -np.ones((2, 3), np.float32)})["y"], np.zeros((2, 3)))


SMALL = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
GPT2 = {
    "vocab_size": 48,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.mark.nightly
@pytest.mark.parametrize("version", [18, 23])
@pytest.mark.parametrize(("family", "config"), [("llama", SMALL), ("qwen3", SMALL), ("gpt2", GPT2)])
def test_what_torch_exports(tmp_path, family, config, version):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config)).eval()

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids):
            return self.model(input_ids=input_ids, use_cache=False).logits

    path = tmp_path / "model.onnx"
    tokens = torch.export.Dim("tokens", min=2, max=64)
    names = {"input_names": ["input_ids"], "output_names": ["logits"]}
    example = torch.randint(0, 48, (1, 12))
    torch.onnx.export(
        Logits(), (example,), dynamo=True, opset_version=version, dynamic_shapes=({1: tokens},), **names, verbose=False
    ).save(path)
    program = assert_lifted(path)
    with torch.no_grad():
        wanted = Logits()(torch.tensor([IDS])).numpy()
    np.testing.assert_allclose(np.concatenate(logits(program), 1), wanted, atol=1e-4)
