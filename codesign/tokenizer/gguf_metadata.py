"""The tokenizer of a Hugging Face folder as the metadata of a GGUF file: what `codesign.tokenizer.gguf` reads."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import cast

import numpy as np

from codesign.tokenizer.chat import TEMPLATE_KEY, template_of_folder
from codesign.tokenizer.gguf import CUTTINGS, MERGE_SPACE, TokenType
from codesign.tokenizer.model import TokenizerError
from codesign.tokenizer.tokenizer import Tokenizer
from codesign.weights.gguf import Value

Json = Mapping[str, object]

_PROBE = (
    "I'll say: WE'LL pay 1234567 x1, 3.14 or 50% (naïve café, ça) — it's  done!?\n\n"
    "  def f(a_b):\n\treturn a**2  # ok\r\n"
    "日本語のテキスト、한국어 русский текст العربية हिन्दी ไทย Ελληνικά "
    "😀👍🏽 x²  ½ ﬁ\u00a0e\u0301 HTMLParser camelCase \n"
)
"""Every kind of text that pre-tokenizers of llama.cpp cut differently."""


def tokenizer_metadata(folder: Path, config: Json, vocabulary: int) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The tokenizer and the chat template beside the weights in `folder`, for a model of so many tokens; and remarks,
    such as that there is none.

    Raises
    ------
    TokenizerError
        When GGUF files cannot hold the tokenizer: read again it would give other ids.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return {}, ("the folder has no tokenizer.json: the file holds no tokenizer",)
    theirs = Tokenizer.from_file(path)
    stated = cast(Json, json.loads(path.read_text(encoding="utf-8")))
    tokens, types = _tokens(path, stated, vocabulary)
    metadata: dict[str, Value] = {
        "tokenizer.ggml.tokens": tuple(tokens),
        "tokenizer.ggml.token_type": np.array(types, np.int32),
        **_special(config, theirs),
    }
    template = template_of_folder(folder)
    if template is not None:
        metadata[TEMPLATE_KEY] = template
    expected = theirs.encode(_PROBE)
    for encoder in _encoders(stated, tokens):
        if Tokenizer.from_gguf(metadata | encoder).encode(_PROBE) == expected:
            return metadata | encoder, ()
    raise TokenizerError(
        f"{path}: GGUF files hold no tokenizer that gives the same ids; known pre-tokenizers: {', '.join(CUTTINGS)}"
    )


def _tokens(path: Path, stated: Json, vocabulary: int) -> tuple[list[str], list[int]]:
    """All tokens by id, and what each is; ids without one are unused."""
    model = cast(Json, stated["model"])
    if model.get("type") != "BPE":
        raise TokenizerError(f"{path}: GGUF files are written with tokenizers of type BPE, not {short(model['type'])}")
    added = cast(list[Json], stated.get("added_tokens") or [])
    ids = dict(cast(Mapping[str, int], model["vocab"]))
    ids |= {cast(str, token["content"]): cast(int, token["id"]) for token in added}
    kinds = {
        cast(int, token["id"]): TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED for token in added
    }
    tokens = [f"[PAD{token}]" for token in range(max(vocabulary, *(one + 1 for one in ids.values())))]
    if len(tokens) > vocabulary:
        raise TokenizerError(f"{path}: has {len(tokens)} tokens; the model's embedding has {vocabulary}")
    types = [int(TokenType.UNUSED)] * len(tokens)
    unknown = model.get("unk_token")
    for token, number in ids.items():
        tokens[number] = token
        kind = TokenType.UNKNOWN if token == unknown else TokenType.NORMAL
        if model.get("byte_fallback") and len(token) == 6 and token.startswith("<0x"):
            kind = TokenType.BYTE
        types[number] = int(kinds.get(number, kind))
    return tokens, types


def _special(config: Json, tokenizer: Tokenizer) -> dict[str, Value]:
    """The ids that start and end a text, and which of them the tokenizer adds."""
    metadata: dict[str, Value] = {}
    around = tokenizer.encode("")
    for name in ("bos", "eos"):
        stated = config.get(f"{name}_token_id")
        token = next(iter(cast(list[object], stated)), None) if isinstance(stated, list) else stated
        if isinstance(token, int):
            metadata[f"tokenizer.ggml.{name}_token_id"] = token
        metadata[f"tokenizer.ggml.add_{name}_token"] = isinstance(token, int) and token in around
    return metadata


def _encoders(stated: Json, tokens: list[str]) -> Iterator[dict[str, Value]]:
    """The encoders that the file may name, the likeliest first."""
    model = cast(Json, stated["model"])
    pairs = [_pair(merge) for merge in cast(list[object], model["merges"])]
    if not model.get("byte_fallback"):
        merges = tuple(f"{left}{MERGE_SPACE}{right}" for left, right in pairs)
        for pre in CUTTINGS:
            yield {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.merges": merges}
        return
    # SentencePiece joins the neighbors whose union has the highest score.
    rank = {left + right: place for place, (left, right) in reversed(list(enumerate(pairs)))}
    scores = np.array([-float(rank.get(token, len(pairs))) for token in tokens], np.float32)
    unknown = {token: number for number, token in enumerate(tokens)}.get(str(model.get("unk_token")), 0)
    for prefix in (True, False):
        yield {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.scores": scores,
            "tokenizer.ggml.unknown_token_id": unknown,
            "tokenizer.ggml.add_space_prefix": prefix,
        }


def _pair(merge: object) -> tuple[str, str]:
    """Two tokens, as a list or, in older files, joined by a space."""
    if isinstance(merge, str):
        left, _, right = merge.partition(" ")
        return left, right
    left, right = cast(list[str], merge)
    return left, right
