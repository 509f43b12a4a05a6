"""Weights: parameters that stay in their files, memory-mapped, outside the IR."""

from codesign.weights.checkpoint import Weights, open_weights
from codesign.weights.gguf import GgufFile, open_gguf
from codesign.weights.safetensors import open_safetensors, write_safetensors
from codesign.weights.stored import StoredTensor, TensorFile, WeightsError

__all__ = [
    "GgufFile",
    "StoredTensor",
    "TensorFile",
    "Weights",
    "WeightsError",
    "open_gguf",
    "open_safetensors",
    "open_weights",
    "write_safetensors",
]
