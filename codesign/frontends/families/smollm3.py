"""SmolLM 3 (Hugging Face, 2025): Llama whose every fourth layer does not know positions (Yang et al., "RoPE to NoPE and
Back Again", 2025)."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import FULL, DecoderFamily, layer_types, rotary
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer


def _decoder(fields: Fields) -> Decoder:
    fields.expect("use_sliding_window", False)
    fields.skip("sliding_window", "max_window_layers")
    decoder = llama_decoder(fields, rope=rotary(fields, 2e6), tied=True)
    layer_types(fields, decoder.layers, lambda layer: FULL)
    interval = fields.integer("no_rope_layer_interval", 4)
    stated = fields.of_layers("no_rope_layers", decoder.layers, int)
    # What the field lists is which layers do know positions.
    known = stated or [int((layer + 1) % max(interval, 1) != 0) for layer in range(decoder.layers)]
    kinds = (Layer("without_positions", rotary=False), Layer())
    return replace(decoder, pattern=tuple(kinds[bool(one)] for one in known))


SMOLLM_3 = DecoderFamily(_decoder, NAMES)
