"""Qwen 2 and 2.5 (Qwen Team, 2024): biases on query, key and value; with experts, one that all tokens share behind a
gate of its own. Qwen 3 (2025): norms of the heads instead of biases."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import FULL, SLIDING, DecoderFamily, layer_types, sliding_pattern
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Experts, Layer

_BIASES = frozenset(("query", "key", "value"))


def _pattern(fields: Fields, layers: int) -> tuple[Layer, ...]:
    window = fields.integer("sliding_window", 4096) if fields.flag("use_sliding_window", False) else None
    fields.skip("sliding_window")
    first = fields.integer("max_window_layers", 28)
    types = layer_types(fields, layers, lambda layer: SLIDING if window is not None and layer >= first else FULL)
    return sliding_pattern(types, Layer(window=window))


def _qwen_2(fields: Fields) -> Decoder:
    decoder = llama_decoder(fields)
    return replace(decoder, biases=_BIASES, pattern=_pattern(fields, decoder.layers))


def _qwen_3(fields: Fields) -> Decoder:
    decoder = replace(llama_decoder(fields), head_size=fields.integer("head_dim", 128))
    return replace(decoder, pattern=_pattern(fields, decoder.layers))


def _experts(fields: Fields, count: int) -> Experts:
    fields.expect("use_sliding_window", False)
    fields.expect("decoder_sparse_step", 1)
    fields.expect("mlp_only_layers", [])
    fields.skip("sliding_window", "max_window_layers")
    return Experts(
        count=count,
        chosen=fields.integer("num_experts_per_tok"),
        feed_forward=fields.integer("moe_intermediate_size"),
        normalize=fields.flag("norm_topk_prob", False),
    )


def _qwen_2_moe(fields: Fields) -> Decoder:
    experts = replace(
        _experts(fields, fields.integer("num_experts", 60)), shared=fields.integer("shared_expert_intermediate_size")
    )
    decoder = llama_decoder(fields)
    fields.expect("layer_types", [FULL] * decoder.layers)
    biases = _BIASES if fields.flag("qkv_bias", True) else frozenset[str]()
    return replace(decoder, biases=biases, experts=experts)


def _qwen_3_moe(fields: Fields) -> Decoder:
    # `transformers` 5 writes the name that Mixtral has.
    count = fields.integer("num_local_experts", fields.integer("num_experts", 128))
    return replace(llama_decoder(fields), experts=_experts(fields, count))


_NAMES_3 = replace(
    NAMES,
    query_norm="model.layers.{}.self_attn.q_norm.weight",
    key_norm="model.layers.{}.self_attn.k_norm.weight",
)

_EXPERT_NAMES = {
    "router": "model.layers.{}.mlp.gate.weight",
    "expert_gate": "model.layers.{}.mlp.experts.{expert}.gate_proj.weight",
    "expert_up": "model.layers.{}.mlp.experts.{expert}.up_proj.weight",
    "expert_down": "model.layers.{}.mlp.experts.{expert}.down_proj.weight",
}

QWEN_2 = DecoderFamily(_qwen_2, NAMES)
QWEN_2_MOE = DecoderFamily(
    _qwen_2_moe,
    replace(
        NAMES,
        **_EXPERT_NAMES,
        shared_router="model.layers.{}.mlp.shared_expert_gate.weight",
        shared_gate="model.layers.{}.mlp.shared_expert.gate_proj.weight",
        shared_up="model.layers.{}.mlp.shared_expert.up_proj.weight",
        shared_down="model.layers.{}.mlp.shared_expert.down_proj.weight",
    ),
)
QWEN_3 = DecoderFamily(_qwen_3, _NAMES_3)
QWEN_3_MOE = DecoderFamily(_qwen_3_moe, replace(_NAMES_3, **_EXPERT_NAMES))
