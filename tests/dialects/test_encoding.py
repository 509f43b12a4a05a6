"""Encodings: sizes against those of the stored formats, and the text of any encoding."""

from math import prod

import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import given
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, TensorType, f32
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError

from codesign.numerics.block_formats import ARRAYS, stored_nbytes
from codesign.numerics.ggml import LAYOUTS
from codesign_dialects.encoding import (
    ENCODINGS,
    FLOAT32,
    INT32,
    NUMBER_FORMATS,
    Encoding,
    Sparsity,
    number_format,
    plain,
)
from codesign_dialects.formats import EncodingAttr, Formats, encoding_of

names = st.sampled_from([*NUMBER_FORMATS]) | st.builds(
    "{}{}".format, st.sampled_from(["int", "uint"]), st.integers(1, 64)
)
numbers = names.map(number_format)
sparsities = st.none() | st.integers(1, 16).flatmap(
    lambda group: st.builds(Sparsity, st.integers(1, group), st.just(group), st.integers(1, 4), st.booleans())
)


@st.composite
def encodings(draw: st.DrawFn, depth: int = 2) -> Encoding:
    """Any encoding that can be written: what shares a scale is said only where there is a scale or an offset."""
    companion = st.none() | encodings(depth - 1) if depth else st.none()
    scale, offset, zero = draw(companion), draw(companion), draw(companion)
    block, per_tensor = None, False
    if scale is not None or offset is not None or zero is not None:
        block = draw(st.none() | st.integers(1, 4096))
        per_tensor = block is None and draw(st.booleans())
    sparsity = draw(sparsities) if depth == 2 else None
    return Encoding(draw(numbers), scale, offset, block, per_tensor, sparsity, zero)


def parse(text: str) -> object:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Formats)
    return Parser(context, text).parse_attribute()


@given(encodings())
def test_the_text_of_an_encoding_is_read_back(encoding: Encoding) -> None:
    attribute = EncodingAttr(encoding)
    assert parse(str(attribute)) == attribute
    assert parse(f"#formats.encoding<{encoding.structure()}>") == attribute, "spelled out, a name is the same encoding"
    tensor = TensorType(f32, [4, 64], attribute)
    assert encoding_of(parse(str(tensor))) == encoding  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_name_is_what_its_encoding_prints_as(name: str) -> None:
    assert str(ENCODINGS[name]) == name


@pytest.mark.parametrize("name", LAYOUTS)
@given(rows=st.integers(1, 5), blocks=st.integers(1, 5))
def test_sizes_are_those_of_the_stored_format_and_of_ggml(name: str, rows: int, blocks: int) -> None:
    values, nbytes = GGML_QUANT_SIZES[GGMLQuantizationType[name.upper().removesuffix("_BLOCKS")]]
    shape = (rows, blocks * values)
    assert ENCODINGS[name].nbytes(shape) == stored_nbytes(name, shape) == rows * blocks * nbytes


@pytest.mark.parametrize("name", ARRAYS)
def test_plain_sizes_are_those_of_the_stored_format(name: str) -> None:
    if name in ("bool", "float64"):
        with pytest.raises(KeyError):
            number_format(name)
        return
    assert plain(name).nbytes((3, 5)) == stored_nbytes(name, (3, 5))


def counted(encoding: Encoding, shape: tuple[int, ...]) -> tuple[int, int]:
    """Bits, and bits with each row filled up to bytes, by walking rows and blocks one by one."""
    bits = filled = 0
    for _ in range(prod(shape[:-1])):
        length, index = shape[-1] if shape else 1, 0
        sparsity = encoding.sparsity
        if sparsity is not None:
            blocks = length // sparsity.block
            stored = blocks * sparsity.kept // sparsity.group
            index = blocks if sparsity.row else stored * (sparsity.group - 1).bit_length()
            length = stored * sparsity.block
        together = 0
        for start in range(0, length, length if sparsity or not encoding.block else encoding.block):
            count = min(length - start, encoding.block or length) if not sparsity else length
            packed = encoding.element.packed
            together += encoding.element.shared * -(-count // packed) if packed else count * encoding.element.bits
        bits += together + index
        filled += 8 * (-(-together // 8) + -(-index // 8))
    for companion in (encoding.scale, encoding.offset, encoding.zero_point):
        if companion is not None:
            length = shape[-1] if shape else 1
            scales = () if encoding.per_tensor else (*shape[:-1], len(range(0, length, encoding.block or length)))
            more, more_filled = counted(companion, scales)
            bits, filled = bits + more, filled + more_filled
    return bits, filled


@given(encodings(), st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple))
def test_bits_are_counted_block_by_block(encoding: Encoding, shape: tuple[int, ...]) -> None:
    """Against a count that walks the rows; a last, shorter block has a scale like the others."""
    multiple = 1
    if encoding.sparsity is not None:
        multiple = encoding.sparsity.group * encoding.sparsity.block
    shape = (*shape[:-1], shape[-1] * multiple)
    bits, filled = counted(encoding, shape)
    assert (encoding.bits(shape), encoding.nbytes(shape)) == (bits, filled // 8)


@pytest.mark.parametrize(
    ("name", "bits"), [("fp8_e4m3", 8), ("fp6_e2m3", 6), ("fp4_e2m1", 4), ("bfloat16", 16), ("e8m0", 8), ("int5", 5)]
)
def test_bits_of_a_number(name: str, bits: int) -> None:
    assert number_format(name).bits == bits


@pytest.mark.parametrize("name", ["int0", "int65", "uint", "int08", "float8", "INT8", ""])
def test_an_unknown_number_format(name: str) -> None:
    with pytest.raises(KeyError):
        number_format(name)


def test_products_are_summed_in() -> None:
    assert number_format("int4").accumulator == number_format("ternary").accumulator == INT32
    assert number_format("fp8_e5m2").accumulator == number_format("bfloat16").accumulator == FLOAT32


def test_a_type_without_encoding_stores_float32() -> None:
    assert encoding_of(TensorType(f32, [2])) == Encoding(FLOAT32)


def test_a_sparse_scale_is_refused() -> None:
    with pytest.raises(ParseError, match="a scale cannot be sparse"):
        parse("#formats.encoding<int8, scale = <float32, sparsity = 2:4>>")


@given(encodings(), st.data())
def test_a_cut_text_is_refused_not_misread(encoding: Encoding, data: st.DataObject) -> None:
    text = str(EncodingAttr(encoding))
    with pytest.raises(ParseError):
        parse(text[: data.draw(st.integers(0, len(text) - 1))])
