"""Llama (Touvron et al., 2023) and what is shaped like it."""

from codesign.errors import CodesignError
from codesign.frontends.decoder import Decoder, Names
from codesign.frontends.huggingface import Family, Fields, rotary_theta

_ACTIVATIONS = {"silu": "silu"}


def _decoder(fields: Fields) -> Decoder:
    heads = fields.integer("num_attention_heads")
    hidden = fields.integer("hidden_size")
    activation = fields.text("hidden_act", "silu")
    if activation not in _ACTIVATIONS:
        raise CodesignError(f"{fields.where}: hidden_act '{activation}' is not supported; supported: silu")
    if fields.flag("mlp_bias", False) or fields.flag("attention_bias", False):
        raise CodesignError(f"{fields.where}: mlp_bias and attention_bias are not supported; expected false")
    return Decoder(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        layers=fields.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=fields.integer("num_key_value_heads", heads),
        head_size=fields.integer("head_dim", hidden // max(heads, 1)),
        feed_forward=fields.integer("intermediate_size"),
        context=fields.integer("max_position_embeddings", 2048),
        epsilon=fields.number("rms_norm_eps", 1e-6),
        theta=rotary_theta(fields),
        tied=fields.flag("tie_word_embeddings", False),
    )


LLAMA = Family(
    model_types=("llama",),
    decoder=_decoder,
    names=Names(
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
    ),
)
