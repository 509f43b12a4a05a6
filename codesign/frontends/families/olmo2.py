"""OLMo 2 (OLMo Team, 2024): norms of the results instead of the inputs, and of all features of query and key."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder


def _decoder(fields: Fields) -> Decoder:
    return replace(llama_decoder(fields, epsilon=1e-5), head_norm=False)


OLMO_2 = DecoderFamily(
    _decoder,
    replace(
        NAMES,
        attention_norm=None,
        query_norm="model.layers.{}.self_attn.q_norm.weight",
        key_norm="model.layers.{}.self_attn.k_norm.weight",
        attention_post_norm="model.layers.{}.post_attention_layernorm.weight",
        feed_forward_norm=None,
        feed_forward_post_norm="model.layers.{}.post_feedforward_layernorm.weight",
    ),
)
