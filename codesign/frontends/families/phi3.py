"""Phi-3 (Abdin et al., 2024): Llama with query, key and value in one matrix, and gate and up in another."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.families.mistral import window
from codesign.frontends.family import DecoderFamily, rotary_size
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer, Names, Source
from codesign_dialects.transformer.view import View


def _decoder(fields: Fields) -> Decoder:
    # Read with the rotary scaling `longrope`; without one it says nothing.
    fields.skip("original_max_position_embeddings")
    decoder = llama_decoder(fields, epsilon=1e-5)
    return replace(
        decoder,
        rotary_size=rotary_size(fields, decoder.head_size),
        pattern=(Layer(window=window(fields)),),
    )


def _names(decoder: Decoder) -> Names:
    q, kv = decoder.heads * decoder.head_size, decoder.kv_heads * decoder.head_size
    joint, feed_forward = "model.layers.{}.self_attn.qkv_proj.weight", "model.layers.{}.mlp.gate_up_proj.weight"
    return replace(
        NAMES,
        query=Source(joint, View(first=0, count=q)),
        key=Source(joint, View(first=q, count=kv)),
        value=Source(joint, View(first=q + kv, count=kv)),
        gate=Source(feed_forward, View(first=0, count=decoder.feed_forward)),
        up=Source(feed_forward, View(first=decoder.feed_forward, count=decoder.feed_forward)),
    )


PHI_3 = DecoderFamily(_decoder, _names)
