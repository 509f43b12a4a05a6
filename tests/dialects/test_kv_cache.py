"""The type of the KV cache: bytes, text, what it refuses."""

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, Builtin, IntAttr
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.formats import Formats
from codesign_dialects.transformer import KVCacheType, Transformer

CONTEXT = Context()
for dialect in (Builtin, Formats, Transformer):
    CONTEXT.load_dialect(dialect)
INT8 = Encoding(number_format("int8"), plain("float32"))


def test_a_latent_cache_stores_a_key_once_and_its_value_inside() -> None:
    latent = KVCacheType.of(layers=61, heads=1, size=576, values=512)
    twice = KVCacheType.of(layers=61, heads=1, size=576)
    assert latent.nbytes(2, 10) == 61 * 2 * 10 * 576 * 4
    assert twice.nbytes(2, 10) == 2 * latent.nbytes(2, 10)
    quantized = KVCacheType.of(layers=61, heads=1, size=576, values=512, encoding=INT8)
    assert quantized.nbytes(2, 10) == 61 * 2 * 10 * (576 + 4)


@pytest.mark.parametrize("values", [1, 512, 576])
def test_its_text_is_read_back(values: int) -> None:
    type = KVCacheType.of(layers=3, heads=1, size=576, context=64, values=values, encoding=INT8)
    assert 'layout = "latent"' in str(type)
    assert Parser(CONTEXT, str(type)).parse_type() == type


def test_pages_are_whole() -> None:
    text = "!transformer.kv_cache<layers = 2, batch = 3, context = 64, heads = 1, size = 8, page = 16, pages = 9>"
    type = Parser(CONTEXT, text).parse_type()
    assert isinstance(type, KVCacheType)
    assert str(type) == text
    token = 2 * 2 * 8 * 4
    assert [type.nbytes(1, tokens) for tokens in (1, 16, 17)] == [16 * token, 16 * token, 32 * token]
    assert type.evolve(page=IntAttr(0), pages=IntAttr(DYNAMIC_INDEX)).nbytes(1, 17) == 17 * token


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('size = 8, layout = "latent", values = 9', "the values of a KV cache are 1 to 8, the size of a key; got 9"),
        ('size = 8, layout = "latent", values = 0', "the values of a KV cache are 1 to 8, the size of a key; got 0"),
        ("size = 8, values = 4", "the values of a KV cache are 8 unless its layout is latent; got 4"),
        (
            "size = 8, page = -1",
            "has pages of at least 1 token, and at least 1 of them; got page = -1",
        ),
        ("size = 8, pages = 3", "and at least 1 of them; got page = 0 and pages = 3"),
        ("size = 8, page = 2, pages = 0", "got page = 2 and pages = 0"),
        ('size = 8, layout = "ring"', "unknown KV cache layout 'ring'; known: contiguous, latent"),
    ],
)
def test_values_that_a_key_does_not_hold_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerifyException, match=message):
        Parser(CONTEXT, f"!transformer.kv_cache<layers = 1, batch = ?, context = ?, heads = 1, {text}>").parse_type()
