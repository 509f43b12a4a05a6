"""BitNet b1.58 (Ma et al., 2024): squared ReLU as gate, and norms of what enters the last product of each block.

The weights are read as they are stored: in the published bfloat16 master weights the ternary rounding is not applied.
"""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import ACTIVATIONS, DecoderFamily, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder


def _decoder(fields: Fields) -> Decoder:
    return replace(
        llama_decoder(fields, epsilon=1e-5, rope=rotary(fields, 5e5)),
        activation=fields.choose("hidden_act", ACTIVATIONS, "relu2"),
    )


BITNET = DecoderFamily(
    _decoder,
    replace(
        NAMES,
        attention_inner_norm="model.layers.{}.self_attn.attn_sub_norm.weight",
        feed_forward_inner_norm="model.layers.{}.mlp.ffn_sub_norm.weight",
    ),
)
