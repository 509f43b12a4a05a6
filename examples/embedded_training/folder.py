"""A trained model as a Hugging Face folder."""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save as serialize
from tokenizers import Tokenizer
from torch import Tensor

from embedded_training.network import LanguageModel, MixtureConfig, TernaryLinear, ternary


def stored_tensors(model: LanguageModel) -> dict[str, Tensor]:
    """The tensors of model.safetensors: float32, a mixture's in bfloat16, ternary ones packed."""
    rounded = torch.bfloat16 if isinstance(model.config, MixtureConfig) else torch.float32
    tensors = {f"model.{name}": values.detach().to(rounded).contiguous() for name, values in model.named_parameters()}
    for name, module in model.named_modules():
        if isinstance(module, TernaryLinear):
            digits, scale = ternary(module.weight.detach())
            tensors[f"model.{name}.weight"] = pack(digits)
            tensors[f"model.{name}.weight_scale"] = scale.reshape(1)
    return tensors


def pack(digits: Tensor) -> Tensor:
    """Digits [out, in] in two bits each, uint8 [out / 4, in]: of four equal parts of the rows the first is lowest, as
    in transformers' ``integrations/bitnet.py``."""
    parts = (digits + 1).to(torch.uint8).chunk(4)
    return parts[0] | parts[1] << 2 | parts[2] << 4 | parts[3] << 6


def round_as_stored(model: LanguageModel) -> None:
    """Make the weights those that the folder will hold."""
    if isinstance(model.config, MixtureConfig):
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16().float()


def save(out: Path, model: LanguageModel, tokenizer: Tokenizer, excerpt: str, card: str) -> None:
    """Everything is written beside `out` first, so that an interruption leaves no half file in it."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        folder = Path(name)
        (folder / "model.safetensors").write_bytes(serialize(stored_tensors(model), metadata={"format": "pt"}))
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(json.dumps(model.config.to_hugging_face(), indent=2) + "\n")
        (folder / "heldout.txt").write_bytes(excerpt.encode())
        (folder / "MODEL_CARD.md").write_text(card)
        for file in folder.iterdir():
            file.replace(out / file.name)
