"""Gemma (Gemma Team, 2024): a scaled embedding, norm weights around 0. Gemma 2 (2024): norms of the results too,
softcaps, every other layer slides. Gemma 3 (2025): norms of query and key, five layers of six slide."""

from dataclasses import replace
from math import sqrt

from codesign.errors import CodesignError
from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import (
    ACTIVATIONS,
    FULL,
    SLIDING,
    DecoderFamily,
    Rope,
    layer_types,
    rotary_scaling,
    sliding_pattern,
)
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer


def _gemma(fields: Fields, rope: Rope | None = None) -> Decoder:
    fields.expect("use_bidirectional_attention", False)
    decoder = llama_decoder(fields, rope=rope, tied=True)
    # The first configurations say `gelu` in `hidden_act` and mean its approximation.
    activation = fields.choose("hidden_act", {**ACTIVATIONS, "gelu": "gelu_tanh"}, "gelu_pytorch_tanh")
    if fields.has("hidden_activation"):
        activation = fields.choose("hidden_activation", ACTIVATIONS)
    return replace(
        decoder,
        head_size=fields.integer("head_dim", 256),
        activation=activation,
        norm_offset=1.0,
        embedding_scale=sqrt(max(decoder.hidden, 0)),
    )


def _gemma_2(fields: Fields, rope: Rope | None = None) -> Decoder:
    decoder = _gemma(fields, rope)
    scalar = _positive(fields, "query_pre_attn_scalar", 256.0)
    return replace(
        decoder,
        attention_scale=None if scalar is None else scalar**-0.5,
        attention_softcap=_positive(fields, "attn_logit_softcapping"),
        logit_softcap=_positive(fields, "final_logit_softcapping"),
        pattern=_pattern(fields, decoder.layers, 2, Layer(window=fields.integer("sliding_window", 4096))),
    )


def _gemma_3(fields: Fields) -> Decoder:
    context = fields.integer("max_position_embeddings", 131072)
    parameters = fields.fields("rope_parameters")
    full, sliding = parameters.fields(FULL), parameters.fields(SLIDING)
    base = full.number("rope_theta", fields.number("rope_theta", 1e6))
    scaling = rotary_scaling(full, context) or rotary_scaling(fields.fields("rope_scaling"), context)
    parameters.refuse_unread()
    if rotary_scaling(sliding, context) is not None:
        raise CodesignError(f"{sliding.where}: rotary scaling of sliding layers is not supported; supported: default")
    local = sliding.number("rope_theta", fields.number("rope_local_base_freq", 10000.0))
    window = fields.integer("sliding_window", 4096)
    decoder = _gemma_2(fields, (base, scaling))
    period = fields.integer("sliding_window_pattern", fields.integer("_sliding_window_pattern", 6))
    return replace(decoder, pattern=_pattern(fields, decoder.layers, period, Layer(window=window, theta=local)))


def _pattern(fields: Fields, layers: int, period: int, sliding: Layer) -> tuple[Layer, ...]:
    """As `layer_types` says; without it every layer slides but the last of each `period`."""
    if period < 1:
        raise CodesignError(f"{fields.where}: sliding_window_pattern is at least 1, got {period}")
    types = layer_types(fields, layers, lambda layer: SLIDING if (layer + 1) % period else FULL)
    return sliding_pattern(types, sliding)


def _positive(fields: Fields, name: str, default: float | None = None) -> float | None:
    """A positive number; `default` where it is absent or null."""
    if not fields.has(name):
        return default
    value = fields.number(name)
    if not value > 0:
        raise CodesignError(f"{fields.where}: {name} is positive or null, got {value}")
    return value


GEMMA = DecoderFamily(_gemma, NAMES)
_NAMES_2 = replace(
    NAMES,
    attention_post_norm="model.layers.{}.post_attention_layernorm.weight",
    feed_forward_norm="model.layers.{}.pre_feedforward_layernorm.weight",
    feed_forward_post_norm="model.layers.{}.post_feedforward_layernorm.weight",
)
GEMMA_2 = DecoderFamily(_gemma_2, _NAMES_2)
GEMMA_3 = DecoderFamily(
    _gemma_3,
    replace(
        _NAMES_2,
        query_norm="model.layers.{}.self_attn.q_norm.weight",
        key_norm="model.layers.{}.self_attn.k_norm.weight",
    ),
)
