"""The architectures of GGUF files, as data.

Keys and defaults are those of llama.cpp (`gguf-py/gguf/constants.py`, `src/llama-model.cpp`); what its converter makes
of values (`convert_hf_to_gguf.py`, `conversion/`) is `change` here: rows of query and key permuted so that neighbors
make a rotary pair, norm weights stored as what they multiply by.
"""

from collections.abc import Mapping
from dataclasses import replace

from codesign.frontends.gguf_architecture import (
    EXPERTS,
    LLAMA,
    ROTARY,
    SHAPE,
    WINDOW,
    Architecture,
    Found,
    Key,
    leading_dense,
    renamed,
    without,
)
from codesign.frontends.gguf_deepseek import DEEPSEEK_2, DEEPSEEK_3, SIGMOID
from codesign.frontends.shape import Decoder, Source
from codesign.weights.gguf import Value
from codesign_dialects.transformer.view import View

_SOFTCAPS = {
    "attn_logit_softcapping": Key("attn_logit_softcapping", "attention_softcap", float, default=50.0),
    "final_logit_softcapping": Key("final_logit_softcapping", "logit_softcap", float, default=30.0),
}


def _pairs(decoder: Decoder, tensors: Found) -> Decoder:
    return replace(decoder, rotary_style="interleaved")


def _whole_norms(decoder: Decoder, tensors: Found) -> Decoder:
    return replace(decoder, norm_offset=0.0)


def _layer_norm(field: str) -> dict[str, Key]:
    return {"attention.layer_norm_epsilon": Key(field, "epsilon", float, required=True)}


def _biases(read: Mapping[str, object], tensors: Found) -> Mapping[str, object]:
    """Llama's optional biases, which no key states."""
    return {"attention_bias": "blk.0.attn_output.bias" in tensors, "mlp_bias": "blk.0.ffn_down.bias" in tensors}


def _scored_by(read: Mapping[str, object], largest: int) -> Mapping[str, object]:
    """Gemma's scores are scaled by its head size, in the largest model, known by its layers, by hidden size over heads
    (`src/llama-model.cpp`, `f_attention_scale`)."""
    hidden, heads = read["hidden_size"], read["num_attention_heads"]
    assert isinstance(hidden, int) and isinstance(heads, int)
    share = hidden // max(heads, 1)
    return {"query_pre_attn_scalar": share if read["num_hidden_layers"] == largest else read["head_dim"]}


def _falcon(read: Mapping[str, object], tensors: Found) -> Mapping[str, object]:
    return {
        "new_decoder_architecture": True,
        "num_kv_heads": read.get("num_kv_heads", read["num_attention_heads"]),
        "num_ln_in_parallel_attn": 2 if "blk.0.attn_norm_2.weight" in tensors else 1,
        "bias": "blk.0.attn_qkv.bias" in tensors,
    }


def _falcon_names(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    joint = _joint_attention(decoder, tensors)
    if "feed_forward_norm" not in decoder.biases:
        return joint
    return {**joint, "attention_norm": "blk.{}.attn_norm_2.weight", "feed_forward_norm": "blk.{}.attn_norm.weight"}


def _joint_attention(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Queries, keys and values in one matrix, in this order."""
    q, kv = decoder.heads * decoder.head_size, decoder.kv_heads * decoder.head_size
    joint = "blk.{}.attn_qkv.weight"
    return {
        "query": Source(joint, View(first=0, count=q)),
        "key": Source(joint, View(first=q, count=kv)),
        "value": Source(joint, View(first=q + kv, count=kv)),
    }


def _joint(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Phi-3: the gate stands above the rows of `up`, too."""
    up, width = "blk.{}.ffn_up.weight", decoder.feed_forward
    return {
        **_joint_attention(decoder, tensors),
        "gate": Source(up, View(first=0, count=width)),
        "up": Source(up, View(first=width, count=width)),
    }


def _mixtral_names(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """Files from before 2024-04 have a tensor for each expert."""
    if tensors is None or "blk.0.ffn_gate.0.weight" not in tensors:
        return {}
    return {f"expert_{part}": f"blk.{{}}.ffn_{part}.{{expert}}.weight" for part in ("gate", "up", "down")}


def _shared_router(decoder: Decoder, tensors: Found | None) -> Mapping[str, str | Source]:
    """The gate of Qwen 2's shared expert, a vector."""
    return {"shared_router": Source("blk.{}.ffn_gate_inp_shexp.weight", View(flat=(decoder.hidden,)))}


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", LLAMA, _biases, _pairs),
    "qwen2": Architecture("qwen2", without(LLAMA, "attention.key_length")),
    "qwen2moe": Architecture(
        "qwen2_moe",
        {
            **without(LLAMA, "attention.key_length"),
            **renamed(EXPERTS, num_local_experts="num_experts"),
            "expert_feed_forward_length": Key("moe_intermediate_size", "experts.feed_forward", required=True),
            "expert_shared_feed_forward_length": Key(
                "shared_expert_intermediate_size", "experts.shared", required=True
            ),
        },
        lambda read, tensors: {"qkv_bias": "blk.0.attn_q.bias" in tensors},
        names=_shared_router,
    ),
    "qwen3": Architecture("qwen3", LLAMA),
    "qwen3moe": Architecture(
        "qwen3_moe",
        {**LLAMA, **EXPERTS, "expert_feed_forward_length": Key("moe_intermediate_size", "experts.feed_forward")},
        lambda read, tensors: {"norm_topk_prob": True},
    ),
    "gemma": Architecture("gemma", LLAMA, change=_whole_norms),
    "gemma2": Architecture(
        "gemma2",
        {**LLAMA, **_SOFTCAPS, **WINDOW},
        lambda read, tensors: _scored_by(read, largest=46),
        _whole_norms,
    ),
    "gemma3": Architecture(
        "gemma3_text",
        {
            **LLAMA,
            **WINDOW,
            "rope.freq_base": Key("rope_theta", "theta", float, default=1e6),
            "rope.freq_base_swa": Key("rope_local_base_freq", "sliding.theta", float),
        },
        lambda read, tensors: _scored_by(read, largest=62),
        _whole_norms,
    ),
    "phi3": Architecture("phi3", {**without(LLAMA, "attention.key_length"), **WINDOW}, names=_joint),
    "gpt2": Architecture(
        "gpt2",
        {
            **renamed(
                without(SHAPE, "attention.head_count_kv"),
                num_hidden_layers="n_layer",
                hidden_size="n_embd",
                intermediate_size="n_inner",
                num_attention_heads="n_head",
                max_position_embeddings="n_positions",
            ),
            **_layer_norm("layer_norm_epsilon"),
        },
        names=_joint_attention,
    ),
    "gptneox": Architecture(
        "gpt_neox",
        {
            **without(SHAPE, "attention.head_count_kv"),
            **ROTARY,
            **_layer_norm("layer_norm_eps"),
            "use_parallel_residual": Key("use_parallel_residual", "parallel", bool, required=True),
        },
        names=_joint_attention,
    ),
    "falcon": Architecture(
        "falcon",
        {
            **renamed(SHAPE, intermediate_size="ffn_hidden_size", num_key_value_heads="num_kv_heads"),
            **ROTARY,
            **_layer_norm("layer_norm_epsilon"),
        },
        _falcon,
        names=_falcon_names,
    ),
    "starcoder2": Architecture("starcoder2", {**SHAPE, **ROTARY, **_layer_norm("norm_epsilon")}),
    "olmo2": Architecture("olmo2", without(LLAMA, "attention.key_length")),
    "smollm3": Architecture("smollm3", without(LLAMA, "attention.key_length"), change=_pairs),
    "gpt-oss": Architecture(
        "gpt_oss",
        {
            **without(LLAMA, "feed_forward_length"),
            "expert_feed_forward_length": Key("intermediate_size", "experts.feed_forward", required=True),
            **EXPERTS,
            **WINDOW,
        },
        names=lambda decoder, tensors: {"feed_forward_norm": "blk.{}.post_attention_norm.weight"},
    ),
    "llama4": Architecture(
        "llama4_text",
        {
            **renamed(LLAMA, intermediate_size="intermediate_size_mlp"),
            **EXPERTS,
            "expert_feed_forward_length": Key("intermediate_size", "experts.feed_forward", required=True),
            "interleave_moe_layer_step": Key(
                "interleave_moe_layer_step", lambda decoder: leading_dense(decoder) + 1, required=True
            ),
            # 0 says that no layer attends in chunks, which the family's configurations do not.
            "attention.sliding_window": Key("sliding_window", ""),
        },
        # `src/llama-model.cpp` takes the norms of turned queries and keys from the number of experts.
        lambda read, tensors: {"use_qk_norm": read["num_local_experts"] != 128},
    ),
    "deepseek2": DEEPSEEK_2,
}
"""By ``general.architecture``."""

SCALING = {
    "rope.scaling.factor": Key("factor", "factor", float, required=True),
    "rope.scaling.original_context_length": Key("original_max_position_embeddings", "original"),
}
LONG_SCALING = {
    "rope.scaling.original_context_length": Key("original_max_position_embeddings", "original", required=True),
    "rope.scaling.attn_factor": Key("attention_factor", "scale", float, default=1.0),
}
"""What states a rotary scaling, which its keys are `of`: one that the metadata name, and LongRoPE, whose factors are
tensors."""

ROTARY_FACTORS = "rope_freqs.weight"
LONG_ROTARY_FACTORS = {"long": "rope_factors_long.weight", "short": "rope_factors_short.weight"}

_MIXTRAL = Architecture("mixtral", {**LLAMA, **EXPERTS}, change=_pairs, names=_mixtral_names)


def architecture_of(name: str, metadata: Mapping[str, Value]) -> Architecture | None:
    """The architecture called `name`, or the other one of that name: of Llama's kind Mixtral's, of DeepSeek's the third
    version's, which scores experts by a sigmoid. None where it is not known."""
    experts, gating = (metadata.get(f"{name}.{key}") for key in ("expert_count", "expert_gating_func"))
    if name == "llama" and isinstance(experts, int) and experts:
        return _MIXTRAL
    if name == "deepseek2" and isinstance(gating, int) and gating == SIGMOID:
        return DEEPSEEK_3
    return ARCHITECTURES.get(name)


def architectures_of(model_type: str) -> list[tuple[str, Architecture]]:
    """The architectures, by their names in files, that hold models of a family."""
    if model_type in (other := {"mixtral": ("llama", _MIXTRAL), "deepseek_v3": ("deepseek2", DEEPSEEK_3)}):
        return [other[model_type]]
    # Without a window Mistral is Llama.
    wanted = {"mistral": "llama"}.get(model_type, model_type)
    return [(name, one) for name, one in ARCHITECTURES.items() if one.model_type == wanted]
