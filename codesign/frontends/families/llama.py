"""Llama (Touvron et al., 2023) and what is shaped like it."""

from codesign.frontends.family import ACTIVATIONS, DecoderFamily, Rope, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Names, check_extent

ATTENTION_BIASES = frozenset(("query", "key", "value", "output"))
FEED_FORWARD_BIASES = frozenset(("gate", "up", "down"))


def llama_decoder(fields: Fields, *, epsilon: float = 1e-6, rope: Rope | None = None, tied: bool = False) -> Decoder:
    """The decoder of a configuration with the fields that Llama's has; defaults are the family's."""
    heads = fields.integer("num_attention_heads")
    hidden = fields.integer("hidden_size")
    layers = fields.integer("num_hidden_layers")
    check_extent("layers", layers, fields.where)
    theta, scaling = rope or rotary(fields)
    return Decoder(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=fields.integer("num_key_value_heads", heads),
        head_size=fields.integer("head_dim", hidden // max(heads, 1)),
        feed_forward=fields.integer("intermediate_size"),
        context=fields.integer("max_position_embeddings", 2048),
        epsilon=fields.number("rms_norm_eps", epsilon),
        theta=theta,
        activation=fields.choose("hidden_act", ACTIVATIONS, "silu"),
        tied=fields.flag("tie_word_embeddings", tied),
        rotary_scaling=scaling,
        biases=(ATTENTION_BIASES if fields.flag("attention_bias", False) else frozenset[str]())
        | (FEED_FORWARD_BIASES if fields.flag("mlp_bias", False) else frozenset[str]()),
    )


NAMES = Names(
    embedding="model.embed_tokens.weight",
    norm="model.norm.weight",
    head="lm_head.weight",
    attention_norm="model.layers.{}.input_layernorm.weight",
    query="model.layers.{}.self_attn.q_proj.weight",
    key="model.layers.{}.self_attn.k_proj.weight",
    value="model.layers.{}.self_attn.v_proj.weight",
    output="model.layers.{}.self_attn.o_proj.weight",
    feed_forward_norm="model.layers.{}.post_attention_layernorm.weight",
    gate="model.layers.{}.mlp.gate_proj.weight",
    up="model.layers.{}.mlp.up_proj.weight",
    down="model.layers.{}.mlp.down_proj.weight",
)

LLAMA = DecoderFamily(llama_decoder, NAMES)
