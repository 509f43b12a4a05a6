"""SmolLM2-135M-Instruct as a GGUF file and as a Hugging Face folder, and what `transformers` makes of it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROMPTS = (
    "Once upon a time",
    "The capital of France is",
    "def fibonacci(n):",
    "Water boils at 100 degrees",
    "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n",
)


def _place(variable: str) -> Path:
    path = os.environ.get(variable)
    if path is None or not Path(path).exists():
        pytest.fail(f"{variable} must name SmolLM2-135M-Instruct; `make nightly` fetches it and sets it")
    return Path(path)


@pytest.fixture(scope="session")
def gguf() -> Path:
    return _place("SMOLLM2_GGUF")


@pytest.fixture(scope="session")
def folder() -> Path:
    return _place("SMOLLM2_FOLDER")


@pytest.fixture(scope="session", params=["gguf", "folder"])
def source(request: pytest.FixtureRequest) -> Path:
    """The model in either form."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def prompts(folder: Path) -> list[list[int]]:
    """Token ids, of texts and of noise."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    noise = np.random.default_rng(0).integers(0, 49152, 300).tolist()
    return [*(tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROMPTS), noise]


@pytest.fixture(scope="session")
def transformers_logits(folder: Path) -> Callable[[list[int], str], np.ndarray]:
    """``logits(ids, dtype)`` of `transformers` eager, ``[tokens, vocabulary]``."""
    import torch
    from transformers import AutoModelForCausalLM

    models = {
        dtype: AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="eager", local_files_only=True
        ).eval()
        for dtype in ("float32", "float64")
    }

    def logits(ids: list[int], dtype: str) -> np.ndarray:
        with torch.no_grad():
            return models[dtype](torch.tensor([ids])).logits[0].numpy()

    return logits


@pytest.fixture(scope="session")
def transformers_tokens(folder: Path) -> Callable[[list[int], int], list[int]]:
    """``tokens(ids, count)``: what `transformers` float32 generates greedily."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()

    def tokens(ids: list[int], count: int) -> list[int]:
        prompt = torch.tensor([ids])
        with torch.no_grad():
            # Without a mask `generate` takes the end-of-turn tokens of a chat for padding.
            output = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=count,
                do_sample=False,
                eos_token_id=None,
            )
        return output[0, len(ids) :].tolist()

    return tokens
