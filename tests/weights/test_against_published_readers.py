"""Quantized checkpoints against the packages that read them: the same bits of every value."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from codesign.weights import open_weights

pytestmark = pytest.mark.nightly


def read(folder: Path, tensors: Mapping[str, object], name: str, **settings: object) -> np.ndarray:
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))
    return open_weights(folder)[name].float32()


def test_awq(tmp_path) -> None:
    """Random words, so that every place of a word counts."""
    import torch
    from compressed_tensors.entrypoints.convert.converters.autoawq import AutoAWQConverter

    torch.manual_seed(0)
    words, zeros = (torch.randint(-(2**31), 2**31 - 1, (rows, 4), dtype=torch.int32) for rows in (64, 2))
    scales = torch.rand(2, 32).half()
    codes, scale, zero = AutoAWQConverter(group_size=32)._convert_gemm_module(words, scales, zeros)
    scale, zero = (one.float().repeat_interleave(32, 1) for one in (scale, zero))
    tensors = {"m.qweight": words, "m.qzeros": zeros, "m.scales": scales}
    ours = read(tmp_path, tensors, "m.weight", quant_method="awq", bits=4, group_size=32)
    np.testing.assert_array_equal(ours, ((codes.float() - zero) * scale).numpy())


def test_experts_in_mxfp4(tmp_path) -> None:
    import torch
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    torch.manual_seed(0)
    blocks = torch.randint(0, 256, (3, 8, 2, 16), dtype=torch.uint8)
    scales = torch.randint(110, 135, (3, 8, 2), dtype=torch.uint8)
    ours = read(tmp_path, {"x_blocks": blocks, "x_scales": scales}, "x", quant_method="mxfp4")
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).numpy()
    np.testing.assert_array_equal(ours, theirs.swapaxes(1, 2))


def test_fp8_in_blocks(tmp_path) -> None:
    """300 rows end within a block of 128."""
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    torch.manual_seed(0)
    weight, scale = torch.randn(300, 256).to(torch.float8_e4m3fn), torch.rand(3, 2)
    weights = QuantizationArgs(num_bits=8, type="float", strategy="block", block_structure=[128, 128])
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    compressor = BaseCompressor.get_value_from_registry("float-quantized")
    theirs = compressor.decompress({"weight": weight, "weight_scale": scale}, scheme)["weight"]
    tensors = {"m.weight": weight, "m.weight_scale_inv": scale}
    ours = read(tmp_path, tensors, "m.weight", quant_method="fp8", weight_block_size=[128, 128])
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_packed_integers(tmp_path, bits, symmetric) -> None:
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    torch.manual_seed(0)
    half = 2 ** (bits - 1)
    weights = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=32)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    state = {"weight": torch.randn(20, 64), "weight_scale": torch.rand(20, 2) / half}
    state["weight_zero_point"] = torch.randint(-half, half, (20, 2), dtype=torch.int8) * (not symmetric)
    compressor = BaseCompressor.get_value_from_registry("pack-quantized")
    packed = compressor.compress(state, scheme)
    theirs = compressor.decompress(packed, scheme)["weight"].numpy()
    group = {"weights": {"num_bits": bits}}
    settings = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    tensors = {f"m.{name}": tensor.contiguous() for name, tensor in packed.items()}
    np.testing.assert_array_equal(read(tmp_path, tensors, "m.weight", **settings), theirs)
