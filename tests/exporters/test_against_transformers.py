"""Folders that are exported, and quantized folders that are read, against `transformers` and `compressed-tensors`."""

import json
from pathlib import Path

import numpy as np
import pytest

from codesign import api
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program

pytestmark = pytest.mark.nightly

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6, 40, 17]]
LLAMA = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
PIPELINES = {
    "": "",
    "bfloat16": "quantize{weights=bfloat16 skip=embedding}",
    "int4 in groups": "quantize{weights=int4 group=32 skip=embedding}",
    "int4 with zero points": "quantize{weights=uint4 zero=uint4 group=32 skip=embedding}",
    "int8": "quantize{weights=int8 skip=embedding}",
    "fp8": "quantize{weights=fp8_e4m3 skip=embedding}",
    "int8 and int4": 'quantize{weights=int8 skip=embedding,"layers.down"},'
    'quantize{weights=int4 skip=embedding,head,"layers.[!d]*"}',
}


def logits(program: Program) -> np.ndarray:
    return plugins().backend(Executor).session(program, context=16).step(TOKENS, keep=len(TOKENS[0]))


def theirs(folder: Path, *, dequantize: bool) -> np.ndarray:
    """What `transformers` computes in float32, of weights that it dequantizes."""
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    # Its other way, decompression at the first use, makes room for zero points that are not packed and finds packed
    # ones; this one takes all modules to be stored alike.
    options = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **options)
    with torch.no_grad():
        return model(torch.tensor(TOKENS)).logits.numpy()


@pytest.fixture(scope="module", params=["llama", "qwen2", "phi3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    special = {"pad_token_id": 0} if request.param == "phi3" else {}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(request.param, **LLAMA, **special))
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_is_exported_computes_the_same(folder, tmp_path, pipeline) -> None:
    program = api.compile(api.load_model(folder), None, PIPELINES[pipeline])
    api.export(program, tmp_path / "out")
    ours = logits(program)
    np.testing.assert_allclose(
        theirs(tmp_path / "out", dequantize="zero" in pipeline), ours, atol=1e-4 * np.abs(ours).max()
    )


@pytest.mark.parametrize("format", ["mxfp4", "nvfp4"])
def test_four_bit_floats_are_decompressed_to_what_was_stored(folder, tmp_path, format) -> None:
    """To bfloat16, of which a model in float32 is not made: so tensors are compared, not logits."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import load_file

    program = api.compile(api.load_model(folder), None, f"quantize{{weights={format} skip=embedding}}")
    api.export(program, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    scheme = QuantizationConfig.model_validate(config).config_groups["group_0"]
    compressor = BaseCompressor.get_value_from_registry(config["format"])
    stored, again = load_file(tmp_path / "out" / "model.safetensors"), api.load_model(tmp_path / "out").weights
    packed = [name for name in stored if name.endswith("weight_packed")]
    assert packed
    for name in packed:
        module = name.removesuffix(".weight_packed")
        own = {key.removeprefix(f"{module}."): value for key, value in stored.items() if key.startswith(f"{module}.")}
        values = compressor.decompress(own, scheme)["weight"].float().numpy()
        np.testing.assert_allclose(values, again[f"{module}.weight"].float32(), rtol=0 if format == "mxfp4" else 2**-7)
