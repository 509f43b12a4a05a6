"""The vocabulary in a GGUF file as an encoder: byte-level BPE and SentencePiece BPE.

The keys are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section Tokenizer; what a file leaves
open is decided as llama.cpp decides it (`src/llama-vocab.cpp`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from reprlib import repr as short
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from codesign.errors import nearest
from codesign.tokenizer.model import Alphabet, TokenizerError, TokenizerModel, byte_level_bytes, sentencepiece_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library
    from tokenizers.pre_tokenizers import PreTokenizer


class TokenType(IntEnum):
    """`enum llama_token_type` of llama.cpp's include/llama.h."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


MERGE_SPACE = " "
"""What stands between the two tokens of a merge."""

_MAX_PIECE = 256  # characters; SentencePiece's default is 16. A hostile piece would have a split at each


@dataclass(frozen=True)
class _Metadata:
    """The `tokenizer.ggml` keys of a file, checked as they are read."""

    values: Mapping[str, object]

    def get(self, key: str, default: object = None) -> object:
        return self.values.get(f"tokenizer.ggml.{key}", default)

    def string(self, key: str, default: str | None = None) -> str:
        value = self.get(key, default)
        if not isinstance(value, str):
            raise TokenizerError(f"tokenizer.ggml.{key} must be a string, not {short(value)}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key)
        if not isinstance(values, tuple) or not all(isinstance(item, str) for item in cast(tuple[object, ...], values)):
            raise TokenizerError(f"tokenizer.ggml.{key} must be an array of strings")
        return cast(tuple[str, ...], values)

    def numbers(self, key: str, count: int) -> list[float]:
        values = self.get(key)
        if not isinstance(values, np.ndarray) or len(cast(NDArray[np.generic], values)) != count:
            raise TokenizerError(f"tokenizer.ggml.{key} must be an array of {count} numbers, one for each token")
        return cast(NDArray[np.generic], values).astype(np.float64).tolist()

    def token(self, key: str, count: int) -> int | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or not 0 <= value < count:
            raise TokenizerError(f"tokenizer.ggml.{key} is {short(value)}; ids go from 0 to {count - 1}")
        return value


def gguf_model(values: Mapping[str, object]) -> TokenizerModel:
    """The tokenizer that a file's metadata describes. Raises TokenizerError, by name for a kind that is not read."""
    metadata = _Metadata(values)
    name = metadata.string("model")
    if name not in _ENCODERS:
        raise TokenizerError(f"tokenizer.ggml.model {short(name)} is not read.{nearest(short(name), _ENCODERS)}")
    ids = _ids(metadata)
    bos = metadata.token("bos_token_id", len(ids))
    eos = metadata.token("eos_token_id", len(ids))
    end_of_turn = metadata.token("eot_token_id", len(ids))
    types = (
        metadata.numbers("token_type", len(ids))
        if metadata.get("token_type") is not None
        else [float(TokenType.NORMAL)] * len(ids)
    )
    encoder = _ENCODERS[name](metadata, ids, types)
    _add_special_tokens(encoder.library, ids, types)
    return TokenizerModel(
        encoder.library,
        encoder.alphabet,
        bos=bos,
        eos=frozenset(token for token in (eos, end_of_turn) if token is not None),
        before=(bos,) if bos is not None and metadata.get("add_bos_token", encoder.adds_bos) is True else (),
        after=(eos,) if eos is not None and metadata.get("add_eos_token") is True else (),
    )


def _ids(metadata: _Metadata) -> dict[str, int]:
    tokens = metadata.strings("tokens")
    if not tokens:
        raise TokenizerError("tokenizer.ggml.tokens is empty")
    ids = {token: index for index, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        twice = next(token for index, token in enumerate(tokens) if ids[token] != index)
        raise TokenizerError(f"tokenizer.ggml.tokens holds {short(twice)} twice")
    return ids


def _add_special_tokens(library: "Library", ids: Mapping[str, int], types: list[float]) -> None:
    """Tell the library which tokens it matches whole in a text, and which of them are special."""
    from tokenizers import AddedToken

    library.add_tokens(  # pyright: ignore[reportUnknownMemberType]
        [
            AddedToken(token, special=kind == TokenType.CONTROL, normalized=False)
            for token, kind in zip(ids, types, strict=True)
            if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
        ]
    )


@dataclass(frozen=True)
class _Encoder:
    """`adds_bos`: whether a text gets a start id if the file does not say."""

    library: "Library"
    alphabet: Alphabet
    adds_bos: bool


@dataclass(frozen=True)
class _Cutting:
    """How text is cut before byte-level BPE: every match of each pattern, in turn, becomes a piece of its own.

    `whole_words`: a piece that is itself a token is taken whole, whatever the merges say. `composes`: text is
    normalized to NFC. `adds_bos`: as in `_Encoder`.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    composes: bool = False
    adds_bos: bool = False


_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT4 = (
    r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s|\p{{N}}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ENDINGS = r"(?i:'(?:[sdmt]|ll|ve|re))?"
_DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_LLAMA_3 = _Cutting((_GPT4 % "{1,3}",), whole_words=True, adds_bos=True)
_DIGITS_APART = _Cutting((r"\p{N}", _GPT2))
_GPT_2_ALONE = _Cutting((_GPT2,))

# By tokenizer.ggml.pre. The patterns are those of the models' own tokenizer.json, which llama.cpp's are equal to or
# written after; "default" is llama.cpp's for a file that names none.
CUTTINGS = {
    "default": _Cutting((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-2": _GPT_2_ALONE,
    "smollm": _DIGITS_APART,
    "llama-bpe": _LLAMA_3,
    "qwen2": _Cutting((_GPT4 % "",), composes=True),
    "llama3": _LLAMA_3,
    "llama-v3": _LLAMA_3,
    "falcon3": _LLAMA_3,
    "dbrx": _Cutting((_GPT4 % "{1,3}",)),
    "smaug-bpe": _Cutting((_GPT4 % "{1,3}",)),
    "stablelm2": _Cutting((_GPT4 % "",)),
    "deepseek-r1-qwen": _Cutting((_GPT4 % "",)),
    "phi-2": _GPT_2_ALONE,
    "mpt": _GPT_2_ALONE,
    "olmo": _GPT_2_ALONE,
    "jais": _GPT_2_ALONE,
    "starcoder": _DIGITS_APART,
    "refact": _DIGITS_APART,
    "command-r": _DIGITS_APART,
    "codeshell": _DIGITS_APART,
    "exaone": _DIGITS_APART,
    "falcon": _Cutting((r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "deepseek-coder": _Cutting((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}")),
    "deepseek-v3": _Cutting((r"\p{N}{1,3}", r"[一-龥\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK)),
    "tekken": _Cutting((_CASED % ("", "", ""),), whole_words=True, adds_bos=True),
    "gpt-4o": _Cutting((_CASED % (_ENDINGS, _ENDINGS, "{1,3}"),)),
}


def _byte_level(metadata: _Metadata, ids: dict[str, int], types: list[float]) -> _Encoder:
    from tokenizers import Regex, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Library
    from tokenizers.models import BPE

    name = metadata.string("pre", "default")
    if name not in CUTTINGS:
        raise TokenizerError(f"tokenizer.ggml.pre {short(name)} is not read.{nearest(short(name), CUTTINGS)}")
    cutting = CUTTINGS[name]
    merges = [_merge(text) for text in metadata.strings("merges")]
    try:
        library = Library(BPE(ids, merges, ignore_merges=cutting.whole_words))
    except Exception as error:  # the library raises plain Exception
        reason = " ".join(str(error).split())[:200]
        raise TokenizerError(f"tokenizer.ggml.merges does not fit the tokens: {reason}") from error
    cuts: list[PreTokenizer] = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in cutting.patterns]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([*cuts, byte_level])
    if cutting.composes:
        library.normalizer = normalizers.NFC()
    return _Encoder(library, Alphabet(byte_level_bytes), cutting.adds_bos)


def _merge(text: str) -> tuple[str, str]:
    left, _, right = text[1:].partition(MERGE_SPACE)
    if not right:
        raise TokenizerError(f"tokenizer.ggml.merges holds {short(text)}; expected two tokens with a space between")
    return text[0] + left, right


def _sentencepiece(metadata: _Metadata, ids: dict[str, int], types: list[float]) -> _Encoder:
    from tokenizers import Tokenizer as Library
    from tokenizers import normalizers
    from tokenizers.models import BPE

    scores = metadata.numbers("scores", len(ids))
    unknown = tuple(ids)[metadata.token("unknown_token_id", len(ids)) or 0]
    normal = [token for token, kind in zip(ids, types, strict=True) if kind == TokenType.NORMAL]
    # SentencePiece joins the neighbors whose union has the highest score, so every split of a token is a merge,
    # ranked by the token's score.
    merges = sorted(
        _splits(normal, ids), key=lambda pair: (-scores[ids[pair[0] + pair[1]]], ids[pair[0]], ids[pair[1]])
    )
    library = Library(BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefix = metadata.get("add_space_prefix", True) is True
    spaces = normalizers.Replace(" ", "▁")
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    return _Encoder(library, Alphabet(sentencepiece_bytes, starts_with_space=prefix), adds_bos=True)


def _splits(tokens: list[str], ids: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Every way to make a token of two."""
    for token in tokens:
        if len(token) > _MAX_PIECE:
            raise TokenizerError(
                f"tokenizer.ggml.tokens holds a piece of {len(token)} characters; at most {_MAX_PIECE}"
            )
        for at in range(1, len(token)):
            if token[:at] in ids and token[at:] in ids:
                yield token[:at], token[at:]


_ENCODERS = {"gpt2": _byte_level, "llama": _sentencepiece}
