"""Mixtral (Jiang et al., 2024): Mistral with a mixture of experts in every layer."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.families.mistral import window
from codesign.frontends.family import DecoderFamily, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Experts, Layer


def _decoder(fields: Fields) -> Decoder:
    decoder = llama_decoder(fields, epsilon=1e-5, rope=rotary(fields, 1e6))
    experts = Experts(
        count=fields.integer("num_local_experts"),
        chosen=fields.integer("num_experts_per_tok"),
        feed_forward=decoder.feed_forward,
    )
    return replace(decoder, experts=experts, pattern=(Layer(window=window(fields)),))


MIXTRAL = DecoderFamily(
    _decoder,
    replace(
        NAMES,
        router="model.layers.{}.block_sparse_moe.gate.weight",
        expert_gate="model.layers.{}.block_sparse_moe.experts.{expert}.w1.weight",
        expert_up="model.layers.{}.block_sparse_moe.experts.{expert}.w3.weight",
        expert_down="model.layers.{}.block_sparse_moe.experts.{expert}.w2.weight",
    ),
)
