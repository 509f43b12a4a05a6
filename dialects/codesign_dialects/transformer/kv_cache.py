"""The KV cache: a type that says what it holds, and the rule that its value is used linearly."""

from xdsl.dialects.builtin import DYNAMIC_INDEX, IntAttr, StringAttr
from xdsl.ir import Operation, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.encoding import FLOAT32, Encoding
from codesign_dialects.formats import EncodingAttr

_CONTIGUOUS, LATENT = "contiguous", "latent"
LAYOUTS = (_CONTIGUOUS, LATENT)
"""How a sequence's keys and values lie in memory: side by side, or values as the first features of the keys, which
multi-head latent attention reads twice and stores once (DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1.2)."""

_EXTENTS = ("layers", "batch", "context", "heads", "size")


@irdl_attr_definition
class KVCacheType(ParametrizedAttribute, TypeAttribute):
    """Keys and values of all layers: ``layers x batch x context x heads x size``, twice; once where the layout is
    latent: there the first ``values`` features of a key are its value.

    ``batch`` and ``context`` may be dynamic (``?``); the encoding says how keys and values are stored. With a ``page``
    the tokens of a sequence lie in pages of so many, anywhere in a pool that all sequences share (Kwon et al.,
    "PagedAttention", 2023, section 4): ``map_pages`` says where. The pool has ``pages``, ``?`` for as many as `batch`
    sequences of the whole context may need. Without, ``page`` is 0.
    """

    name = "transformer.kv_cache"

    layers: IntAttr
    batch: IntAttr
    context: IntAttr
    heads: IntAttr
    size: IntAttr
    encoding: EncodingAttr
    layout: StringAttr
    values: IntAttr
    page: IntAttr
    pages: IntAttr

    @classmethod
    def of(
        cls,
        *,
        layers: int,
        heads: int,
        size: int,
        context: int = DYNAMIC_INDEX,
        batch: int = DYNAMIC_INDEX,
        encoding: Encoding | None = None,
        values: int | None = None,
    ) -> "KVCacheType":
        """Build the type from plain numbers; a cache without `encoding` holds float32, one with `values` is latent."""
        return cls(
            IntAttr(layers),
            IntAttr(batch),
            IntAttr(context),
            IntAttr(heads),
            IntAttr(size),
            EncodingAttr(encoding or Encoding(FLOAT32)),
            StringAttr(_CONTIGUOUS if values is None else LATENT),
            IntAttr(size if values is None else values),
            IntAttr(0),
            IntAttr(DYNAMIC_INDEX),
        )

    def evolve(self, **changes: IntAttr | EncodingAttr | StringAttr) -> "KVCacheType":
        """This type with other parameters in their places."""
        names = (name for name, _ in self.get_irdl_definition().parameters)
        return KVCacheType.new([changes.get(name, own) for name, own in zip(names, self.parameters, strict=True)])

    @property
    def latent(self) -> bool:
        """Whether values are a part of the keys."""
        return self.layout.data == LATENT

    @property
    def copies(self) -> int:
        """Rows of ``size`` that a head stores of each token: key and value, or the key that holds its value."""
        return 1 if self.latent else 2

    def blocks(self, tokens: int) -> int:
        """Pages that a sequence of so many `tokens` takes; one that is not paged lies in one piece."""
        return -(-tokens // self.page.data) if self.page.data else 1

    def nbytes(self, batch: int, context: int) -> int:
        """Bytes of keys and values of all layers for `batch` sequences of `context` tokens, in whole pages."""
        context = self.blocks(context) * self.page.data or context
        shape = (self.layers.data, batch, context, self.heads.data, self.size.data)
        return self.copies * self.encoding.data.nbytes(shape)

    def verify(self) -> None:
        for extent in ("layers", "heads", "size"):
            if self._extent(extent) <= 0:
                raise VerifyException(f"a KV cache needs at least 1 of {extent}, got {self._extent(extent)}")
        for extent in ("batch", "context"):
            if self._extent(extent) <= 0 and self._extent(extent) != DYNAMIC_INDEX:
                raise VerifyException(f"the {extent} of a KV cache is positive or `?`, got {self._extent(extent)}")
        if self.layout.data not in LAYOUTS:
            raise VerifyException(f"unknown KV cache layout '{self.layout.data}'; known: {', '.join(LAYOUTS)}")
        size, values = self.size.data, self.values.data
        if not 1 <= values <= size or (values != size and not self.latent):
            wanted = f"1 to {size}, the size of a key" if self.latent else f"{size} unless its layout is latent"
            raise VerifyException(f"the values of a KV cache are {wanted}; got {values}")
        page, pages = self.page.data, self.pages.data
        if page < 0 or (pages != DYNAMIC_INDEX and (pages < 1 or not page)):
            raise VerifyException(
                f"a paged KV cache has pages of at least 1 token, and at least 1 of them; got page = {page}"
                + ("" if pages == DYNAMIC_INDEX else f" and pages = {pages}")
            )

    def _extent(self, name: str) -> int:
        extent: IntAttr = getattr(self, name)
        return extent.data

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[IntAttr | EncodingAttr | StringAttr]:
        """Parse ``<layers = 30, batch = ?, context = ?, heads = 3, size = 64>``.

        ``encoding = <…>``, ``layout = "…"``, ``values = …``, ``page = …`` and ``pages = …`` may follow; they default to
        float32, contiguous, the size, and no pages.
        """
        with parser.in_angle_brackets():
            extents: list[IntAttr] = []
            for extent in _EXTENTS:
                if extents:
                    parser.parse_punctuation(",")
                _key(parser, extent)
                dynamic = parser.parse_optional_punctuation("?") is not None
                extents.append(IntAttr(DYNAMIC_INDEX if dynamic else parser.parse_integer()))
            encoding, layout = Encoding(FLOAT32), _CONTIGUOUS
            numbers = {"values": extents[-1], "page": IntAttr(0), "pages": IntAttr(DYNAMIC_INDEX)}
            while parser.parse_optional_punctuation(",") is not None:
                number = next((name for name in numbers if parser.parse_optional_keyword(name) is not None), None)
                if number is not None:
                    parser.parse_punctuation("=")
                    numbers[number] = IntAttr(parser.parse_integer())
                elif parser.parse_optional_keyword("encoding") is not None:
                    parser.parse_punctuation("=")
                    encoding = EncodingAttr.parse_parameter(parser)
                else:
                    _key(parser, "layout")
                    layout = parser.parse_str_literal()
        return [*extents, EncodingAttr(encoding), StringAttr(layout), *numbers.values()]

    def print_parameters(self, printer: Printer) -> None:
        """Print what :meth:`parse_parameters` reads."""
        with printer.in_angle_brackets():
            values = ((extent, self._extent(extent)) for extent in _EXTENTS)
            printer.print_string(
                ", ".join(f"{extent} = {'?' if value == DYNAMIC_INDEX else value}" for extent, value in values)
            )
            if self.encoding.data != Encoding(FLOAT32):
                printer.print_string(", encoding = ")
                self.encoding.print_parameter(printer)
            if self.layout.data != _CONTIGUOUS:
                printer.print_string(", layout = ")
                printer.print_string_literal(self.layout.data)
            if self.values != self.size:
                printer.print_string(f", values = {self.values.data}")
            if self.page.data:
                printer.print_string(f", page = {self.page.data}")
            if self.pages.data != DYNAMIC_INDEX:
                printer.print_string(f", pages = {self.pages.data}")


def _key(parser: AttrParser, name: str) -> None:
    parser.parse_keyword(name)
    parser.parse_punctuation("=")


def cache_of(value: SSAValue) -> KVCacheType:
    """The type of a value that is a KV cache."""
    assert isinstance(value.type, KVCacheType), f"expected a KV cache, got {value.type}"
    return value.type


def verify_linear(cache: SSAValue, consumer: Operation) -> None:
    """Verify that `consumer`, which writes `cache` in place, is the last to use it.

    Every later reader must take the consumer's result, or it would see keys that are not there yet.
    """
    block = consumer.parent_block()
    if block is None:
        return
    position = block.get_operation_index(consumer)
    for use in cache.uses:
        other = block.find_ancestor_op_in_block(use.operation)
        if other is None or other is consumer:
            continue
        if block.get_operation_index(other) > position:
            raise VerifyException(
                f"{consumer.name} writes its KV cache in place, but {use.operation.name} uses the old value "
                "afterwards; a KV cache is used linearly: take the result instead"
            )
