"""Architecture families, one file each. A file says how a configuration reads, and what the tensors are called."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codesign.plugins.family import Family


def _load(module: str, name: str) -> "Family":
    family: Family = getattr(import_module(f"{__name__}.{module}"), name)
    return family


FAMILIES: "dict[str, Callable[[], Family]]" = {
    model_type: partial(_load, module, name)
    for model_type, module, name in (
        ("bitnet", "bitnet", "BITNET"),
        ("deepseek_v2", "deepseek", "DEEPSEEK_2"),
        ("deepseek_v3", "deepseek", "DEEPSEEK_3"),
        ("falcon", "falcon", "FALCON"),
        ("gemma", "gemma", "GEMMA"),
        ("gemma2", "gemma", "GEMMA_2"),
        ("gemma3_text", "gemma", "GEMMA_3"),
        ("gpt2", "gpt2", "GPT_2"),
        ("gpt_neox", "gpt_neox", "GPT_NEOX"),
        ("gpt_oss", "gpt_oss", "GPT_OSS"),
        ("gptj", "gptj", "GPT_J"),
        ("llama", "llama", "LLAMA"),
        ("llama4_text", "llama4", "LLAMA_4"),
        ("mistral", "mistral", "MISTRAL"),
        ("mixtral", "mixtral", "MIXTRAL"),
        ("olmo2", "olmo2", "OLMO_2"),
        ("palm", "palm", "PALM"),
        ("phi3", "phi3", "PHI_3"),
        ("qwen2", "qwen", "QWEN_2"),
        ("qwen2_moe", "qwen", "QWEN_2_MOE"),
        ("qwen3", "qwen", "QWEN_3"),
        ("qwen3_moe", "qwen", "QWEN_3_MOE"),
        ("smollm3", "smollm3", "SMOLLM_3"),
        ("starcoder2", "starcoder2", "STARCODER_2"),
    )
}
"""Every family by the ``model_type`` of its configurations, imported on first use."""
