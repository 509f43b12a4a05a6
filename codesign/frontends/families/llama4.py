"""Llama 4's text model (Meta, 2025): attention in chunks, layers without positions whose queries grow with the context,
experts that are fed what their gate leaves of the input."""

from dataclasses import replace

from codesign.errors import CodesignError
from codesign.frontends.families.llama import ATTENTION_BIASES, NAMES, llama_decoder
from codesign.frontends.family import DecoderFamily, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Experts, Layer, Names, Source
from codesign_dialects.transformer.view import View

_CHUNKED, _FULL = "chunked_attention", "full_attention"


def _decoder(fields: Fields) -> Decoder:
    # A flag that configurations carry for the vision model's sake.
    fields.skip("for_llm_compressor")
    decoder = llama_decoder(fields, epsilon=1e-5, rope=rotary(fields, 5e5))
    turned = _turned(fields, decoder.layers)
    chunks = _chunks(fields, turned)
    temperature = (fields.number("attn_scale", 0.1), fields.number("floor_scale", 8192.0))
    if not temperature[1] >= 1 or not temperature[0] >= 0:
        raise CodesignError(
            f"{fields.where}: attn_scale is at least 0 and floor_scale at least 1, got {temperature[0]} and "
            f"{temperature[1]}"
        )
    tempered = fields.flag("attn_temperature_tuning", True)
    sparse = _sparse(fields, decoder.layers)

    def layer(number: int) -> Layer:
        chunk = chunks[number]
        parts = ["full" if chunk is None else "chunked"]
        parts += [] if turned[number] else ["without_positions"]
        parts += [] if number in sparse else ["dense"]
        return Layer(
            "_".join(parts),
            chunk=chunk,
            temperature=temperature if tempered and not turned[number] else None,
            rotary=turned[number],
            dense=number not in sparse,
        )

    width = decoder.feed_forward
    return replace(
        decoder,
        feed_forward=fields.integer("intermediate_size_mlp", 16384),
        biases=ATTENTION_BIASES if fields.flag("attention_bias", False) else frozenset[str](),
        rotary_style="interleaved",
        turned_norm=fields.flag("use_qk_norm", True),
        experts=Experts(
            count=fields.integer("num_local_experts", 16),
            chosen=fields.integer("num_experts_per_tok", 1),
            feed_forward=width,
            scoring="sigmoid",
            normalize=False,
            scaled_input=True,
            shared=width,
        ),
        pattern=tuple(layer(number) for number in range(decoder.layers)),
    )


def _turned(fields: Fields, layers: int) -> list[bool]:
    """Whether each layer knows positions, which is what ``no_rope_layers`` lists."""
    interval = fields.integer("no_rope_layer_interval", 4)
    stated = fields.of_layers("no_rope_layers", layers, int) if fields.config.get("no_rope_layers") else None
    fields.skip("no_rope_layers")
    return [bool(one) for one in stated or [(layer + 1) % max(interval, 1) for layer in range(layers)]]


def _chunks(fields: Fields, turned: list[bool]) -> list[int | None]:
    """The chunk of each layer's attention; None where it is full."""
    size = fields.integer("attention_chunk_size", 8192)
    if size < 1:
        raise CodesignError(f"{fields.where}: attention_chunk_size is at least 1, got {size}")
    types = fields.of_layers("layer_types", len(turned), str)
    if types is None:
        return [size if one else None for one in turned]
    for kind in types:
        if kind not in (_CHUNKED, _FULL):
            raise CodesignError(
                f"{fields.where}: layer_types: '{kind[:60]}' is not supported; supported: {_CHUNKED}, {_FULL}"
            )
    return [size if kind == _CHUNKED else None for kind in types]


def _sparse(fields: Fields, layers: int) -> range:
    """The layers with experts."""
    step = fields.integer("interleave_moe_layer_step", 1)
    if step < 1:
        raise CodesignError(f"{fields.where}: interleave_moe_layer_step is at least 1, got {step}")
    sparse = range(step - 1, layers, step)
    fields.expect("moe_layers", list(sparse))
    return sparse


def _names(decoder: Decoder) -> Names:
    assert decoder.experts is not None
    own, width = "model.layers.{}.feed_forward.", decoder.experts.feed_forward

    def half(first: int) -> Source:
        return Source(own + "experts.gate_up_proj", View(transposed=True, axis=1, first=first, count=width))

    return replace(
        NAMES,
        gate=own + "gate_proj.weight",
        up=own + "up_proj.weight",
        down=own + "down_proj.weight",
        router=own + "router.weight",
        expert_gate=half(0),
        expert_up=half(width),
        expert_down=Source(own + "experts.down_proj", View(transposed=True)),
        shared_gate=own + "shared_expert.gate_proj.weight",
        shared_up=own + "shared_expert.up_proj.weight",
        shared_down=own + "shared_expert.down_proj.weight",
    )


LLAMA_4 = DecoderFamily(_decoder, _names)
