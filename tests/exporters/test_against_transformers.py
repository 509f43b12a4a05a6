"""Folders that are exported, and quantized folders that are read, against `transformers` and `compressed-tensors`."""

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
    "mxfp4": "quantize{weights=mxfp4 skip=embedding}",
    "nvfp4": "quantize{weights=nvfp4 skip=embedding}",
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
