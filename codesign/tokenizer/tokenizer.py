"""The tokenizer that the rest of the program uses, and its streaming decoder.

The `tokenizers` library encodes. Decoding is done here, in bytes: a token is a sequence of bytes that need not end
where a character ends, so only an incremental UTF-8 decoder can stream text.
"""

import codecs
import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codesign.tokenizer.gguf import gguf_model
from codesign.tokenizer.model import Alphabet, TokenizerError, TokenizerModel, byte_level_bytes, sentencepiece_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library


class Tokenizer:
    """A model's tokenizer. `bos` is the id that starts a sequence, or None; `eos` are the ids that end a generation.

    `from_file` and `from_gguf` make one; both raise TokenizerError if the `tokenizers` library is absent.
    """

    def __init__(self, model: TokenizerModel):
        self.bos = model.bos
        self.eos = model.eos
        self._model = model
        self._added = model.library.get_added_tokens_decoder()

    @classmethod
    def from_file(cls, path: Path, *, bos: int | None = None, eos: Iterable[int] = ()) -> "Tokenizer":
        """Read a tokenizer.json. Which ids start and end a text it does not say: a model's config.json does."""
        _require_library()
        from tokenizers import Tokenizer as Library

        try:
            library = Library.from_str(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise TokenizerError(f"{path}: cannot be read: {error.strerror}") from error
        except Exception as error:  # the library raises plain Exception
            raise TokenizerError(f"{path}: not a tokenizer.json: {error}") from error
        return cls(TokenizerModel(library, _alphabet(path, library), bos, frozenset(eos)))

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, object]) -> "Tokenizer":
        """Build the tokenizer that the metadata of a GGUF file describes (keys `tokenizer.ggml.*`)."""
        _require_library()
        return cls(gguf_model(metadata))

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, added tokens included."""
        return self._model.library.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, bare: bool = False) -> list[int]:
        """The ids of a text, with the start and end ids that the model's tokenizer adds unless `bare`; special tokens
        in the text are read as such. Raises TokenizerError for a text that is not Unicode (a lone surrogate)."""
        try:
            text.encode("utf-8")
            ids = self._model.library.encode(text, add_special_tokens=not bare).ids
        except UnicodeEncodeError as error:
            raise TokenizerError(f"the text has a lone surrogate at character {error.start}") from error
        except Exception as error:  # the library raises plain Exception
            raise TokenizerError(f"the tokenizer cannot encode the text: {error}") from error
        return ids if bare else [*self._model.before, *ids, *self._model.after]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a whole sequence, special tokens left out; bytes that are not UTF-8 become U+FFFD.

        Raises TokenizerError for an id that the vocabulary lacks.
        """
        text = b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")
        return text.removeprefix(" ") if self._model.alphabet.starts_with_space else text

    def stream(self) -> "TextStream":
        """A decoder of text that continues another, token by token."""
        return TextStream(self)

    def token_bytes(self, token: int) -> bytes:
        """The UTF-8 bytes, perhaps of parts of characters, that a token stands for; none for a special token."""
        if token in self._added:
            added = self._added[token]
            return b"" if added.special else added.content.encode()
        piece = self._model.library.id_to_token(token) if 0 <= token < 1 << 32 else None
        if piece is None:
            raise TokenizerError(f"token id {token} is not in the vocabulary of {self.vocabulary_size}")
        return self._model.alphabet.piece_bytes(piece)


class TextStream:
    """Text from tokens one at a time; the bytes of an unfinished character wait for the next token."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that this token completes, perhaps none."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What is left at the end: U+FFFD if it ended within a character."""
        return self._decoder.decode(b"", final=True)


def _require_library() -> None:
    if find_spec("tokenizers") is None:
        raise TokenizerError("text needs the `tokenizers` library: pip install 'codesign[text]', or give token ids")


def _alphabet(path: Path, library: "Library") -> Alphabet:
    """The alphabet that a tokenizer.json's decoder undoes."""
    decoder = cast(dict[str, object], json.loads(library.decoder.__getstate__())) if library.decoder else {"type": None}
    steps = cast(list[dict[str, object]], decoder.get("decoders", [decoder]))
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return Alphabet(byte_level_bytes)
    if kinds[:3] == ["Replace", "ByteFallback", "Fuse"] and kinds[3:] in ([], ["Strip"]):
        return Alphabet(sentencepiece_bytes, starts_with_space="Strip" in kinds)
    raise TokenizerError(
        f"{path}: decoder {kinds} is not read; byte-level and SentencePiece byte-fallback decoders are"
    )
