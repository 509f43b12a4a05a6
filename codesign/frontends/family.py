"""Architecture families by data: how a configuration is a decoder, and what its tensors are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import log, sqrt

from xdsl.dialects.builtin import ModuleOp

from codesign.errors import CodesignError
from codesign.frontends.decoder import build
from codesign.frontends.fields import Config, Fields
from codesign.frontends.shape import Decoder, Layer, Names
from codesign.weights import StoredTensor
from codesign_dialects.transformer.rotary_scaling import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryScaling,
    YarnScaling,
)

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu2",
}
"""Activation functions by their names in ``transformers``."""


@dataclass(frozen=True)
class DecoderFamily:
    """A family whose models are decoders.

    `names` may depend on the shape, where a file joins several parameters. Files of the model without its head lack the
    `prefix`.
    """

    decoder: Callable[[Fields], Decoder]
    names: Names | Callable[[Decoder], Names]
    prefix: str = "model."

    def names_of(self, decoder: Decoder) -> Names:
        """What the files of a model of this shape call its parameters."""
        return self.names if isinstance(self.names, Names) else self.names(decoder)

    def module(self, config: Config, where: str, tensors: Mapping[str, StoredTensor] | None) -> ModuleOp:
        """The module of a configuration and its tensors."""
        fields = Fields(config, where)
        decoder = self.decoder(fields)
        fields.refuse_unread()
        decoder.check(where)
        names = self.names_of(decoder)
        if tensors is not None and names.source("embedding").name not in tensors:
            bare = names.without(self.prefix)
            names = bare if bare.source("embedding").name in tensors else names
        try:
            return build(decoder, names, tensors)
        except CodesignError as error:
            raise CodesignError(f"{where}: {error}") from error


Rope = tuple[float, RotaryScaling | None]
"""A rotary base, and the scaling of the frequencies."""


def rotary(fields: Fields, theta: float = 10000.0) -> Rope:
    """The rotary base and the scaling of the frequencies; `theta` is the family's base.

    Since version 5 `transformers` writes ``rope_parameters``; before, ``rope_theta`` and ``rope_scaling``.
    """
    base = fields.number("rope_theta", theta)
    parameters, scaling = fields.fields("rope_parameters"), fields.fields("rope_scaling")
    base = parameters.number("rope_theta", base)
    # A factor of the context is applied to the positions that the model was first trained on.
    context = fields.integer("max_position_embeddings", 2048)
    found = [rotary_scaling(_with_original(stated, fields), context) for stated in (parameters, scaling)]
    return base, found[0] or found[1]


def _with_original(scaling: Fields, fields: Fields) -> Fields:
    """Of LongRoPE, with the original context, which configurations of Phi-3 say beside it."""
    kind = scaling.config.get("rope_type", scaling.config.get("type"))
    original = fields.config.get("original_max_position_embeddings")
    if original is None or kind not in ("longrope", "su"):
        return scaling
    return Fields({"original_max_position_embeddings": original, **scaling.config}, scaling.where)


def rotary_scaling(fields: Fields, context: int) -> RotaryScaling | None:
    """The scaling that an object such as ``rope_scaling`` states; None for none."""
    kind = fields.text("rope_type", fields.text("type", "default"))
    fields.skip("rope_theta", "partial_rotary_factor")
    if kind not in _SCALINGS:
        known = ", ".join(("default", *_SCALINGS))
        if kind != "default":
            raise CodesignError(f"{fields.where}: rotary scaling '{kind[:60]}' is not supported; supported: {known}")
        fields.refuse_unread()
        return None
    scaling = _SCALINGS[kind](fields, context)
    fields.refuse_unread()
    return scaling


def _linear(fields: Fields, context: int) -> RotaryScaling:
    return LinearScaling(fields.number("factor"))


def _llama3(fields: Fields, context: int) -> RotaryScaling:
    return Llama3Scaling(
        factor=fields.number("factor"),
        low=fields.number("low_freq_factor"),
        high=fields.number("high_freq_factor"),
        original=fields.number("original_max_position_embeddings"),
    )


def _yarn(fields: Fields, context: int) -> RotaryScaling:
    original = fields.number("original_max_position_embeddings", float(context))
    factor = fields.number("factor")
    if not factor >= 1:
        raise CodesignError(f"{fields.where}: a rotary factor is at least 1, got {factor}")

    def magnitude(weight: float) -> float:
        """Equation 22 of YaRN, with the weight that DeepSeek gives the logarithm."""
        return 0.1 * weight * log(factor) + 1

    scale = magnitude(1.0)
    if fields.number("mscale", 0.0) and fields.number("mscale_all_dim", 0.0):
        scale = magnitude(fields.number("mscale")) / magnitude(fields.number("mscale_all_dim"))
    return YarnScaling(
        factor=factor,
        original=original,
        fast=fields.number("beta_fast", 32.0),
        slow=fields.number("beta_slow", 1.0),
        truncate=float(fields.flag("truncate", True)),
        scale=fields.number("attention_factor", scale),
    )


def _longrope(fields: Fields, context: int) -> RotaryScaling:
    original = fields.number("original_max_position_embeddings")
    if not original > 1:
        raise CodesignError(f"{fields.where}: original_max_position_embeddings is above 1, got {original}")
    factor = fields.number("factor", context / original)
    # As Phi-3's own code does (`modeling_phi3.py`, Phi3LongRoPEScaledRotaryEmbedding), and `transformers`.
    scale = sqrt(1 + log(factor) / log(original)) if factor > 1 else 1.0
    return LongRopeScaling(
        short=fields.numbers("short_factor"),
        long=fields.numbers("long_factor"),
        original=original,
        scale=fields.number("attention_factor", scale),
    )


_SCALINGS: Mapping[str, Callable[[Fields, int], RotaryScaling]] = {
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
    # What the first Phi-3 configurations call it.
    "su": _longrope,
}


def rotary_size(fields: Fields, head_size: int, default: float = 1.0) -> int | None:
    """Features of each head that turn, from ``partial_rotary_factor``; None for all."""
    factor = fields.number("partial_rotary_factor", default)
    factor = fields.fields("rope_parameters").number("partial_rotary_factor", factor)
    if not 0 < factor <= 1:
        raise CodesignError(f"{fields.where}: partial_rotary_factor is in (0, 1], got {factor}")
    return None if factor == 1 else int(head_size * factor)


SLIDING, FULL = "sliding_attention", "full_attention"


def layer_types(fields: Fields, layers: int, default: Callable[[int], str]) -> list[str]:
    """Whether each layer's attention slides or is full; `default` says it of a layer number where no field does."""
    types = fields.of_layers("layer_types", layers, str)
    if types is None:
        return [default(layer) for layer in range(layers)]
    for kind in types:
        if kind not in (SLIDING, FULL):
            raise CodesignError(
                f"{fields.where}: layer_types: '{kind[:60]}' is not supported; supported: {FULL}, {SLIDING}"
            )
    return types


def sliding_pattern(types: list[str], sliding: Layer) -> tuple[Layer, ...]:
    """The kinds of the layers by their types: ``layer`` where all are alike, else ``sliding`` and ``full``."""
    if len(set(types)) == 1:
        return (sliding if types[0] == SLIDING else Layer(),)
    kinds = {SLIDING: replace(sliding, name="sliding"), FULL: Layer("full")}
    return tuple(kinds[kind] for kind in types)
