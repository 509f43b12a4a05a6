"""PaLM (Chowdhery et al., 2022, section 2): attention and gated feed-forward side by side behind one LayerNorm, one KV
head, no biases, the embedding as head.

Its weights are not published: fields and tensors are called as Llama's.
"""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder


def _decoder(fields: Fields) -> Decoder:
    decoder = llama_decoder(fields, tied=True)
    return replace(
        decoder,
        kv_heads=fields.integer("num_key_value_heads", 1),
        epsilon=fields.number("layer_norm_eps", 1e-6),
        layer_norm=True,
        parallel=True,
    )


PALM = DecoderFamily(_decoder, replace(NAMES, feed_forward_norm=None))
