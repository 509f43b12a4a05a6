"""BitNet's packed checkpoints: the digits and the scale that stand in the file, whatever class it was made for."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from codesign import api
from codesign.weights import open_weights
from codesign.weights.stored import WeightsError
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import LinearOp

DIGITS = np.random.default_rng(0).integers(-1, 2, (8, 6)).astype(np.int8)


def packed(digits: np.ndarray) -> np.ndarray:
    """As transformers' pack_weights: a part of the rows after the other, each two bits higher."""
    quarter = len(digits) // 4
    out = np.zeros((quarter, *digits.shape[1:]), np.uint8)
    for row, digit in enumerate(digits):
        out[row % quarter] |= ((digit + 1).astype(np.uint8) << 2 * (row // quarter)).astype(np.uint8)
    return out


def folder(path, tensors, **settings):
    path.mkdir(exist_ok=True)
    save_file(tensors, path / "model.safetensors")
    config = {"quantization_config": {"quant_method": "bitnet", **settings}}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(("kind", "value"), [("autobitlinear", 0.5), ("bitlinear", 2.0)])
def test_digits_times_the_scale(tmp_path, kind, value) -> None:
    tensors = {"w": packed(DIGITS), "w_scale": np.array([0.5], np.float32), "norm": np.ones(3, np.float32)}
    weights = open_weights(folder(tmp_path / "m", tensors, linear_class=kind))
    assert sorted(weights) == ["norm", "w"]
    tensor = weights["w"]
    assert (tensor.shape, tensor.format) == ((8, 6), "bitnet_b1_58")
    assert tensor.nbytes == tensor.payload.nbytes
    np.testing.assert_array_equal(tensor.float32(), DIGITS * np.float32(value))
    tensor.release()
    np.testing.assert_array_equal(tensor.float32(), DIGITS * np.float32(value))


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        (
            {"w": packed(DIGITS), "w_scale": np.ones(2, np.float32)},
            {},
            r"with one scale, got shapes \[2, 6\] and \[2\]",
        ),
        ({}, {"linear_class": "other"}, "linear_class is bitlinear or autobitlinear, got 'other'"),
        ({}, {"quant_method": "gguf"}, "quant_method 'gguf' is not read; known: "),
    ],
)
def test_what_is_wrong_is_said(tmp_path, tensors, settings, message) -> None:
    tensors = {"x": np.ones(1, np.float32), **tensors}
    with pytest.raises(WeightsError, match=message):
        open_weights(folder(tmp_path / "m", tensors, **settings))


def test_a_digit_that_is_none_is_refused(tmp_path) -> None:
    tensors = {"w": np.full((2, 6), 255, np.uint8), "w_scale": np.ones(1, np.float32)}
    tensor = open_weights(folder(tmp_path / "m", tensors))["w"]
    with pytest.raises(WeightsError, match="there is a 3"):
        tensor.float32()


def test_a_configuration_alone_is_ternary_with_int8_inputs(tmp_path) -> None:
    config = {
        "model_type": "bitnet",
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "quantization_config": {"quant_method": "bitnet"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    program = api.load_model(tmp_path / "config.json")
    linear = [op for op in program.module.walk() if isinstance(op, LinearOp)]
    assert [op.integer for op in linear] == [True] * 7 + [False]
    assert str(encoding_of(program.parameters["layers.up"].type)) == "bitnet_b1_58"
