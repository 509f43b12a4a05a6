"""StarCoder 2 (Lozhkov et al., 2024): grouped queries and rotary positions, LayerNorm and biases, no gate."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.families.mistral import window
from codesign.frontends.family import ACTIVATIONS, DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer

_NORMS = frozenset(("norm", "attention_norm", "feed_forward_norm"))
_MATRICES = frozenset(("query", "key", "value", "output", "up", "down"))


def _decoder(fields: Fields) -> Decoder:
    # What the published configurations say besides.
    fields.expect("mlp_type", "default")
    fields.expect("norm_type", "layer_norm")
    return replace(
        llama_decoder(fields, tied=True),
        activation=fields.choose("hidden_act", ACTIVATIONS, "gelu_pytorch_tanh"),
        epsilon=fields.number("norm_epsilon", 1e-5),
        layer_norm=True,
        biases=_NORMS | (_MATRICES if fields.flag("use_bias", True) else frozenset()),
        pattern=(Layer(window=window(fields)),),
    )


STARCODER_2 = DecoderFamily(
    _decoder,
    replace(
        NAMES,
        gate=None,
        up="model.layers.{}.mlp.c_fc.weight",
        down="model.layers.{}.mlp.c_proj.weight",
    ),
)
