"""Mistral (Jiang et al., 2023): Llama with a sliding window in every layer."""

from dataclasses import replace

from codesign.frontends.families.llama import NAMES, llama_decoder
from codesign.frontends.family import DecoderFamily
from codesign.frontends.fields import Fields
from codesign.frontends.shape import Decoder, Layer


def window(fields: Fields) -> int | None:
    """The window of every layer; None for none."""
    return fields.integer("sliding_window") if fields.has("sliding_window") else None


def _decoder(fields: Fields) -> Decoder:
    return replace(llama_decoder(fields), pattern=(Layer(window=window(fields)),))


MISTRAL = DecoderFamily(_decoder, NAMES)
