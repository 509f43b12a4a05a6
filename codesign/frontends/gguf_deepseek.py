"""DeepSeek's GGUF files, of the architecture ``deepseek2``: V2 and V3, with matrices of keys and values joint or apart.

What the files hold is what llama.cpp's converter makes of a folder (`conversion/deepseek.py`, DeepseekV2Model).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log, sqrt
from typing import cast

from codesign.frontends.gguf_architecture import LLAMA, Architecture, Found, Key, leading_dense, without
from codesign.frontends.shape import Decoder, Source
from codesign_dialects.transformer.rotary_scaling import YarnScaling
from codesign_dialects.transformer.view import View

SIGMOID = 2
"""Of ``expert_gating_func`` (`ExpertGatingFuncType`); 1, and no key at all in the first files, is softmax."""


def _gating(decoder: Decoder) -> int | None:
    return SIGMOID if decoder.experts is not None and decoder.experts.scoring == "sigmoid" else 1


def _shared_count(decoder: Decoder) -> int | None:
    return decoder.experts and decoder.experts.shared // decoder.experts.feed_forward


def _groups(place: int) -> Callable[[Decoder], int | None]:
    def of(decoder: Decoder) -> int | None:
        return decoder.experts and decoder.experts.groups and decoder.experts.groups[place]

    return of


def _log_multiplier(decoder: Decoder) -> float | None:
    """A tenth of YaRN's ``mscale_all_dim``, which scales queries and keys whole."""
    scaling, scale = decoder.rotary_scaling, decoder.attention_scale
    if not isinstance(scaling, YarnScaling) or scale is None or scaling.factor == 1:
        return None
    return (sqrt(scale * sqrt(decoder.head_size)) - 1) / log(scaling.factor)


_KEYS = {
    **without(LLAMA, "attention.head_count_kv"),
    "attention.q_lora_rank": Key("q_lora_rank", "latent.query_rank"),
    "attention.kv_lora_rank": Key("kv_lora_rank", "latent.rank", required=True),
    "attention.key_length": Key("head_dim", "head_size", required=True),
    "attention.value_length": Key("v_head_dim", "latent.value", required=True),
    # Since 2025-04 the two above are of attention in the latent space, and these of a head.
    "attention.key_length_mla": Key("qk_head_dim", ""),
    "attention.value_length_mla": Key("value_length_mla", ""),
    "rope.dimension_count": Key("qk_rope_head_dim", "latent.rotary", required=True),
    "rope.scaling.yarn_log_multiplier": Key("yarn_log_multiplier", _log_multiplier, float),
    "leading_dense_block_count": Key("first_k_dense_replace", leading_dense, required=True),
    "expert_count": Key("n_routed_experts", "experts.count", required=True),
    "expert_used_count": Key("num_experts_per_tok", "experts.chosen", required=True),
    "expert_feed_forward_length": Key("moe_intermediate_size", "experts.feed_forward", required=True),
    "expert_shared_count": Key("n_shared_experts", _shared_count, required=True),
    "expert_weights_scale": Key("routed_scaling_factor", "experts.scale", float, default=1.0),
    "expert_weights_norm": Key("norm_topk_prob", "experts.normalize", bool, default=False),
    "expert_gating_func": Key("expert_gating_func", _gating),
    "expert_group_count": Key("n_group", _groups(0)),
    "expert_group_used_count": Key("topk_group", _groups(1)),
}


def _config(read: Mapping[str, object], tensors: Found) -> Mapping[str, object]:
    """Sizes of a head, whichever keys state them, and of YaRN what the converter took a tenth of."""
    head, rotary = read.get("qk_head_dim", read["head_dim"]), read["qk_rope_head_dim"]
    assert isinstance(head, int) and isinstance(rotary, int)
    found: dict[str, object] = {
        "qk_nope_head_dim": head - rotary,
        "v_head_dim": read.get("value_length_mla", read["v_head_dim"]),
        **dict.fromkeys(("head_dim", "qk_head_dim", "value_length_mla", "yarn_log_multiplier", "expert_gating_func")),
    }
    scaling, tenth = read["rope_scaling"], read.get("yarn_log_multiplier")
    if isinstance(scaling, dict) and isinstance(tenth, float):
        # Seven digits, of which float32 holds no more.
        weight = round(10 * tenth, 6)
        scaling = cast(dict[str, object], scaling)
        found["rope_scaling"] = {**scaling, "mscale": weight, "mscale_all_dim": weight}
    if read.get("n_group", 1) != 1 and read.get("expert_gating_func") != SIGMOID:
        found["topk_method"] = "group_limited_greedy"
    return found


def _absorbed(decoder: Decoder, tensors: Found) -> Decoder:
    """Since 2025-04 files hold the matrices of keys and values apart, those of keys as they take queries to the latent
    space."""
    assert decoder.latent is not None
    apart = bool(tensors) and "blk.0.attn_kv_b.weight" not in tensors
    return replace(decoder, latent=replace(decoder.latent, absorbed=apart))


def _latent_names(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    latent = decoder.latent
    assert latent is not None

    def of_heads(name: str, first: int, count: int) -> Source:
        return Source(f"blk.{{}}.{name}.weight", View(groups=decoder.heads, first=first, count=count))

    def apart(name: str, rows: int, columns: int) -> Source:
        return Source(f"blk.{{}}.{name}.weight", View(flat=(decoder.heads, rows, columns)))

    queries = "attn_q" if latent.query_rank is None else "attn_q_b"
    joint, both = "blk.{}.attn_kv_a_mqa.weight", "attn_kv_b"
    return {
        "query": of_heads(queries, 0, latent.content),
        "rotary_query": of_heads(queries, latent.content, latent.rotary),
        "latent": Source(joint, View(first=0, count=latent.rank)),
        "rotary_key": Source(joint, View(first=latent.rank, count=latent.rotary)),
        "key": apart("attn_k_b", latent.rank, latent.content) if latent.absorbed else of_heads(both, 0, latent.content),
        "value": apart("attn_v_b", latent.value, latent.rank)
        if latent.absorbed
        else of_heads(both, latent.content, latent.value),
    }


DEEPSEEK_2 = Architecture("deepseek_v2", _KEYS, _config, _absorbed, _latent_names)
DEEPSEEK_3 = replace(DEEPSEEK_2, model_type="deepseek_v3")
