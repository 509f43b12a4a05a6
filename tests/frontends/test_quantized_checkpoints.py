"""Models of quantized checkpoints: their parameters' types say what is stored, and their logits are those of the same
weights dequantized."""

import json
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.parameters import Parameters
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.weights import StoredTensor, write_safetensors
from codesign_dialects.formats import encoding_of

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6]]


def logits(program: Program) -> np.ndarray:
    return plugins().backend(Executor).session(program, context=16).step(TOKENS, keep=len(TOKENS[0]))


def assert_same(program: Program, reference: Program) -> None:
    """The same values of every parameter, and logits that differ by the order of their sums alone."""
    read, expected = Parameters(program), Parameters(reference)
    for name, parameter in program.parameters.items():
        for layer in parameter.layers:
            values, wanted = (np.empty(read.shape(name), np.float32) for _ in range(2))
            read.read_into(name, layer, values)
            expected.read_into(name, layer, wanted)
            np.testing.assert_array_equal(values, wanted, err_msg=name)
    np.testing.assert_allclose(logits(program), logits(reference), atol=1e-5)


def stored(name: str, array: np.ndarray, format: str | None = None) -> StoredTensor:
    return StoredTensor(
        name, array.shape, format or array.dtype.name, np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    )


def write(folder: Path, config: Path, tensors: list[StoredTensor], **quantized: object) -> Program:
    folder.mkdir()
    told = json.loads(config.read_text())
    (folder / "config.json").write_text(json.dumps(told | ({"quantization_config": quantized} if quantized else {})))
    write_safetensors(folder / "model.safetensors", tensors)
    return api.load_model(folder)


@pytest.mark.parametrize("model", ["gemma", "gpt2", "mixtral", "phi3"], indirect=True)
def test_packed_integers(model, tmp_path) -> None:
    """Joined matrices are taken apart with their scales; GPT-2's, transposed where they are floats, are not here."""
    random, packed, plain = np.random.default_rng(1), list[StoredTensor](), list[StoredTensor]()
    for name, tensor in (model.weights or {}).items():
        if len(tensor.shape) != 2 or not any(part in name for part in ("attn", "mlp", "w1")):
            packed.append(tensor)
            plain.append(tensor)
            continue
        module = name.removesuffix(".weight")
        transposed = any(part in name for part in ("c_attn", "c_proj", "c_fc"))
        inputs = tensor.shape[-2 if transposed else -1]
        outputs = tensor.shape[-1 if transposed else -2]
        codes = random.integers(0, 16, (outputs, inputs), dtype=np.uint8)
        scales = random.uniform(0.01, 0.03, (outputs, inputs // 32)).astype(np.float16)
        packed += [
            stored(f"{module}.weight_packed", (codes[:, ::2] | codes[:, 1::2] << 4).view(np.int32)),
            stored(f"{module}.weight_shape", np.array([outputs, inputs])),
            stored(f"{module}.weight_scale", scales),
        ]
        values = (codes.astype(np.float32) - 8) * scales.astype(np.float32).repeat(32, axis=1)
        plain.append(stored(name, values.T if transposed else values))
    config = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}
    program = write(tmp_path / "packed", tmp_path / "config.json", packed, **config)
    reference = write(tmp_path / "plain", tmp_path / "config.json", plain)
    encodings = [str(encoding_of(parameter.type)) for parameter in program.parameters.values()]
    assert sum(encoding.startswith("int4, scale = <float16>, per = ") for encoding in encodings) >= 3
    assert all(parameter.derivation is None for parameter in program.parameters.values())
    assert_same(program, reference)


@pytest.mark.parametrize("model", ["gpt_oss"], indirect=True)
def test_experts_in_mxfp4(model, tmp_path) -> None:
    random, packed, plain = np.random.default_rng(1), list[StoredTensor](), list[StoredTensor]()
    steps = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    for name, tensor in (model.weights or {}).items():
        if len(tensor.shape) != 3:
            packed.append(tensor)
            plain.append(tensor)
            continue
        experts, inputs, outputs = tensor.shape
        codes = random.integers(0, 16, (experts, outputs, inputs // 32, 32), dtype=np.uint8)
        powers = random.integers(121, 125, (experts, outputs, inputs // 32), dtype=np.uint8)
        packed += [
            stored(f"{name}_blocks", codes[..., ::2] | codes[..., 1::2] << 4),
            stored(f"{name}_scales", powers),
        ]
        values = np.concatenate([steps, -steps])[codes] * np.float32(2) ** (powers[..., None].astype(np.float32) - 127)
        plain.append(stored(name, values.reshape(experts, outputs, inputs).swapaxes(1, 2)))
    program = write(tmp_path / "packed", tmp_path / "config.json", packed, quant_method="mxfp4")
    reference = write(tmp_path / "plain", tmp_path / "config.json", plain)
    for part in ("gate", "up", "down"):
        assert str(encoding_of(program.parameters[f"layers.expert_{part}"].type)) == "mxfp4"
    assert_same(program, reference)
