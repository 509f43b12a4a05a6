"""The files of the embedded model agree with each other; its text is tested by the executor elsewhere."""

import json
import math
import re
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load
from tokenizers import Tokenizer

FOLDER = resources.files("codesign") / "models" / "embedded"
CONFIG: dict[str, int] = json.loads((FOLDER / "config.json").read_text())
CARD = (FOLDER / "MODEL_CARD.md").read_text()
HELDOUT = (FOLDER / "heldout.txt").read_bytes()
TENSORS = load((FOLDER / "model.safetensors").read_bytes())
TOKENIZER = Tokenizer.from_str((FOLDER / "tokenizer.json").read_text())
END_OF_TEXT = "<|endoftext|>"


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes that transformers' `LlamaForCausalLM` gives a model of this config."""
    hidden, feed_forward = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    queries = CONFIG["num_attention_heads"] * CONFIG["head_dim"]
    keys = CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (CONFIG["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        of_layer = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (feed_forward, hidden),
            "mlp.up_proj": (feed_forward, hidden),
            "mlp.down_proj": (hidden, feed_forward),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return shapes


def card_number(pattern: str) -> float:
    found = re.search(pattern, " ".join(CARD.split()))
    assert found is not None, f"the model card does not say {pattern!r}"
    return float(found[1].replace(",", ""))


def table() -> dict[tuple[str, str], tuple[float | None, float]]:
    """(text, predictor) to (perplexity per token, bits per byte) of the card's table."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| ([\d.]*) ?\| ([\d.]+) \|$", CARD, re.MULTILINE)
    return {
        (text, name): (float(perplexity) if perplexity else None, float(bits)) for text, name, perplexity, bits in rows
    }


def test_tensors_are_those_of_the_config():
    assert {name: tensor.shape for name, tensor in TENSORS.items()} == expected_shapes()
    assert {tensor.dtype for tensor in TENSORS.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(tensor).all() for tensor in TENSORS.values())


def test_parameter_count():
    count = sum(math.prod(shape) for shape in expected_shapes().values())
    assert 250_000 <= count <= 500_000
    assert card_number(r"Parameters: \*\*([\d,]+)\*\*") == count


def test_config_is_a_tied_llama():
    assert CONFIG["architectures"] == ["LlamaForCausalLM"]
    assert CONFIG["tie_word_embeddings"] is True
    assert CONFIG["bos_token_id"] == CONFIG["eos_token_id"] == TOKENIZER.token_to_id(END_OF_TEXT)
    assert CONFIG["vocab_size"] == TOKENIZER.get_vocab_size()
    assert CONFIG["num_attention_heads"] % CONFIG["num_key_value_heads"] == 0
    assert CONFIG["max_position_embeddings"] >= 256


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_tokenizer_keeps_any_text(text: str):
    ids = TOKENIZER.encode(text).ids
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text
    assert all(0 <= token < CONFIG["vocab_size"] for token in ids)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "  two  spaces ", "naïve £5 — 你好 🙂", "\x00\x7f"])
def test_tokenizer_keeps_awkward_text(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_end_of_text_is_one_special_token():
    assert TOKENIZER.encode(f"a{END_OF_TEXT}b").ids.count(CONFIG["eos_token_id"]) == 1
    assert TOKENIZER.decode(TOKENIZER.encode(f"a{END_OF_TEXT}b").ids) == "ab"


def test_heldout_is_what_the_card_says():
    assert 16_000 <= len(HELDOUT) <= 32_000
    assert card_number(r"`heldout\.txt` is [^:]+: ([\d,]+) bytes") == len(HELDOUT)
    ids = TOKENIZER.encode(HELDOUT.decode()).ids
    assert card_number(r"`heldout\.txt` is [^:]+: [\d,]+ bytes, ([\d,]+) tokens") == len(ids)
    for (text, name), (perplexity, bits) in table().items():
        if text == "`heldout.txt`" and perplexity is not None:
            assert math.log2(perplexity) * len(ids) / len(HELDOUT) == pytest.approx(bits, rel=1e-3), name


@pytest.mark.parametrize("text", ["`heldout.txt`", "held-out chapters"])
def test_model_beats_every_baseline_of_the_card(text: str):
    figures = {name: bits for (of_text, name), (_, bits) in table().items() if of_text == text}
    ours = {name: bits for name, bits in figures.items() if name.startswith("this model")}
    baselines = figures.keys() - ours.keys()
    assert {"1-gram, Kneser-Ney", "2-gram, Kneser-Ney", "3-gram, Kneser-Ney"} <= baselines
    assert len(ours) == 4
    assert max(ours.values()) < min(figures[name] for name in baselines)


def test_int8_costs_less_than_two_percent():
    assert abs(card_number(r"it changes perplexity by \*\*([+-][\d.]+) %\*\*")) < 2
    for text in ("`heldout.txt`", "held-out chapters"):
        for window in (256, 512):
            exact, _ = table()[text, f"this model, float32, windows of {window}"]
            rounded, _ = table()[text, f"this model, int8, windows of {window}"]
            assert exact is not None and rounded is not None and rounded < 1.02 * exact


def test_card_shows_samples():
    samples = re.findall(r"Prompt `.*?`, (greedy|temperature 0\.8):\n\n```text\n(.+?)\n```", CARD, re.DOTALL)
    assert {how for how, _ in samples} == {"greedy", "temperature 0.8"}
    assert all(len(text.split()) > 20 for _, text in samples)
