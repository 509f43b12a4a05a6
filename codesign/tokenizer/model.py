"""What a tokenizer is made of, whichever file it came from: the library's encoder, how pieces spell bytes, and the ids
that start and end a text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codesign.errors import CodesignError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library


class TokenizerError(CodesignError):
    """A tokenizer that is malformed or of a kind that is not read, or a text or id that it cannot take."""


@dataclass(frozen=True)
class Alphabet:
    """How the pieces of a vocabulary spell bytes. `starts_with_space`: encoding puts a space before the text, which
    decoding takes away."""

    piece_bytes: Callable[[str], bytes]
    starts_with_space: bool = False


@dataclass(frozen=True)
class TokenizerModel:
    """An encoder and what surrounds it: `before` and `after` are the ids it adds to every text itself."""

    library: "Library"
    alphabet: Alphabet
    bos: int | None
    eos: frozenset[int]
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def _byte_characters() -> dict[str, int]:
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_characters()
_BYTE_OF_PIECE = {f"<0x{byte:02X}>": bytes([byte]) for byte in range(256)}


def byte_level_bytes(piece: str) -> bytes:
    """Byte-level BPE (Radford et al. 2019, GPT-2, `encoder.py`): a character a byte. Printable Latin-1 characters stand
    for themselves, the characters from U+0100 in order for the other bytes."""
    if all(character in _BYTE_OF_CHARACTER for character in piece):
        return bytes(_BYTE_OF_CHARACTER[character] for character in piece)
    return piece.encode()


def sentencepiece_bytes(piece: str) -> bytes:
    """SentencePiece with byte fallback (Kudo and Richardson 2018): U+2581 stands for a space, `<0x0A>` for a byte."""
    if piece in _BYTE_OF_PIECE:
        return _BYTE_OF_PIECE[piece]
    return piece.replace("▁", " ").encode()
