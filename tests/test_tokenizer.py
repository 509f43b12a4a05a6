"""Encoding, decoding and streaming, from tokenizer.json and from GGUF metadata."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from gguf import GGUFWriter
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from codesign.tokenizer import Tokenizer, TokenizerError, tokenizer
from codesign.weights import open_gguf

CORPUS = [
    "the theory of the thing",
    "in the end, then, there they are: 12 and 345",
    "na\u00efve caf\u00e9 \u65e5\u672c\u8a9e",
] * 3
BYTE_CHARACTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


@cache
def trained() -> tokenizers.Tokenizer:
    """A byte-level BPE tokenizer as the library itself trains it: the reference of these tests."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=BYTE_CHARACTERS, special_tokens=["<|end|>"], show_progress=False
    )
    library.train_from_iterator(CORPUS, trainer)
    return library


def write_json(library: tokenizers.Tokenizer, folder: Path) -> Path:
    library.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture(scope="module")
def from_file(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_file(write_json(trained(), tmp_path_factory.mktemp("t")), bos=0, eos=[0])


@given(text=st.text())
def test_ids_are_the_librarys_and_decode_to_the_text(from_file: Tokenizer, text: str) -> None:
    ids = from_file.encode(text)
    assert ids == trained().encode(text).ids
    assert from_file.decode(ids) == text


@given(ids=st.lists(st.integers(0, trained().get_vocab_size() - 1)))
def test_any_ids_decode_as_the_library_does_and_stream_alike(from_file: Tokenizer, ids: list[int]) -> None:
    text = from_file.decode(ids)
    assert text == trained().decode(ids)
    stream = from_file.stream()
    assert "".join([stream.push(token) for token in ids]) + stream.finish() == text


def test_a_stream_holds_back_an_unfinished_character(from_file: Tokenizer) -> None:
    ids = from_file.encode("\U0001f600!")
    assert len(ids) == 5
    stream = from_file.stream()
    assert [stream.push(token) for token in ids] == ["", "", "", "\U0001f600", "!"]
    assert stream.finish() == ""
    stream.push(ids[0])
    assert stream.finish() == "\ufffd"


def test_special_tokens_are_read_and_left_out(from_file: Tokenizer) -> None:
    ids = from_file.encode("the<|end|>end")
    assert 0 in ids
    assert from_file.decode(ids) == "theend"
    assert (from_file.bos, from_file.eos, from_file.vocabulary_size) == (0, {0}, trained().get_vocab_size())


@pytest.mark.parametrize("token", [-1, 100_000, 1 << 70])
def test_an_id_outside_the_vocabulary_is_refused(from_file: Tokenizer, token: int) -> None:
    with pytest.raises(TokenizerError, match=f"token id {token} is not in the vocabulary of"):
        from_file.decode([token])


def test_text_that_is_not_unicode_is_refused(from_file: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="lone surrogate at character 2"):
        from_file.encode("ab\ud800")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"version": "1.0"')
    (tmp_path / "latin1.json").write_bytes(b"\xff")
    word_piece = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0}))
    word_piece.decoder = decoders.WordPiece()
    no_decoder = tokenizers.Tokenizer(models.BPE())
    for path, problem in [
        (tmp_path / "absent.json", "cannot be read: No such file"),
        (tmp_path / "bad.json", "not a tokenizer.json"),
        (tmp_path / "latin1.json", "not a tokenizer.json"),
        (write_json(word_piece, tmp_path), r"decoder \['WordPiece'\] is not read"),
    ]:
        with pytest.raises(TokenizerError, match=problem):
            Tokenizer.from_file(path)
    with pytest.raises(TokenizerError, match=r"decoder \[None\] is not read"):
        Tokenizer.from_file(write_json(no_decoder, tmp_path))


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        assert name == "tokenizers"

    monkeypatch.setattr(tokenizer, "find_spec", absent)
    for build in [lambda: Tokenizer.from_file(tmp_path / "tokenizer.json"), lambda: Tokenizer.from_gguf({})]:
        with pytest.raises(TokenizerError, match=r"pip install 'codesign\[text\]'"):
            build()


# GGUF vocabularies.


def gguf_metadata(tokens: list[str], merges: list[str], **more: object) -> dict[str, object]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tuple(tokens),
        "tokenizer.ggml.merges": tuple(merges),
    } | {f"tokenizer.ggml.{key}": value for key, value in more.items()}


def as_byte_characters(text: str) -> str:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]


def cuts(pre: str, text: str) -> list[str]:
    """The pieces a pre-tokenizer makes: with every substring in the vocabulary, BPE joins each piece whole."""
    spelled = as_byte_characters(text)
    ends = range(1, len(spelled) + 1)
    substrings = sorted({spelled[start:end] for end in ends for start in range(end)} | set(BYTE_CHARACTERS), key=len)
    merges = [f"{piece[:at]} {piece[at:]}" for piece in substrings for at in range(1, len(piece))]
    tokenizer = Tokenizer.from_gguf(gguf_metadata(substrings, merges, pre=pre))
    return [tokenizer.decode([token]) for token in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("pre", "sentence", "shout"),
    [
        ("gpt-2", ["I", "'ll", " pay", " ", " 1234", "x", "!?", "\n", " a"], ["WE", "'", "LL"]),
        ("smollm", ["I", "'ll", " pay", "  ", "1", "2", "3", "4", "x", "!?", "\n", " a"], ["WE", "'", "LL"]),
        ("default", ["I", "'", "ll", " pay", " ", " ", "123", "4", "x", "!?", "\n", " a"], ["WE", "'", "LL"]),
        ("llama-bpe", ["I", "'ll", " pay", " ", " ", "123", "4", "x", "!?\n", " a"], ["WE", "'LL"]),
        ("qwen2", ["I", "'ll", " pay", " ", " ", "1", "2", "3", "4", "x", "!?\n", " a"], ["WE", "'LL"]),
    ],
)
def test_text_is_cut_as_the_named_pre_tokenizer_cuts_it(pre: str, sentence: list[str], shout: list[str]) -> None:
    assert cuts(pre, "I'll pay  1234x!?\n a") == sentence
    assert cuts(pre, "WE'LL") == shout


def test_a_file_that_names_no_pre_tokenizer_has_the_default(tmp_path: Path) -> None:
    named = gguf_metadata(["1", "2", "12"], ["1 2"], pre="default")
    unnamed = {key: value for key, value in named.items() if key != "tokenizer.ggml.pre"}
    assert Tokenizer.from_gguf(unnamed).encode("1212") == Tokenizer.from_gguf(named).encode("1212") != []


def test_llama_takes_whole_words_and_adds_its_start() -> None:
    metadata = gguf_metadata(["a", "b", "c", "abc"], [], bos_token_id=0)
    assert Tokenizer.from_gguf(metadata).encode("abc") == [0, 1, 2]
    assert Tokenizer.from_gguf(metadata | {"tokenizer.ggml.pre": "llama-bpe"}).encode("abc") == [0, 3]


def test_qwen_composes_characters() -> None:
    metadata = gguf_metadata(BYTE_CHARACTERS, [], pre="qwen2")
    tokenizer = Tokenizer.from_gguf(metadata)
    assert tokenizer.decode(tokenizer.encode("e\u0301")) == "\u00e9"


def test_a_gguf_file_encodes_as_the_tokenizer_it_was_written_from(tmp_path: Path) -> None:
    library = trained()
    vocabulary = sorted(library.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in vocabulary]
    merges = [" ".join(pair) for pair in json_merges(library)]
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, "<|user|>"])
    writer.add_token_types([3, *[1] * (len(tokens) - 1), 4])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_eot_token_id(1)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokenizer = Tokenizer.from_gguf(open_gguf(tmp_path / "m.gguf").metadata)
    for text in [*CORPUS, "  x \n", "<|end|>the"]:
        assert tokenizer.encode(text) == [0, *library.encode(text).ids, 0]
    assert tokenizer.decode(tokenizer.encode("a<|user|>b<|end|>c")) == "a<|user|>bc"
    assert tokenizer.encode("<|user|>") == [0, len(tokens), 0]
    assert (tokenizer.bos, tokenizer.eos) == (0, {0, 1})


def json_merges(library: tokenizers.Tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]


PIECES = [
    "\u2581",
    "a",
    "b",
    "c",
    "\u2581a",
    "ab",
    "ba",
    "\u2581\u2581",
    "aa",
    "aba",
    "\u2581ab",
    "bc",
    "abab",
    "\u2581aba",
    "abc",
]


def sentencepiece_metadata(**more: object) -> dict[str, object]:
    tokens = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *PIECES]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tuple(tokens),
        "tokenizer.ggml.scores": np.array([0.0] * 259 + [-float(index) for index in range(len(PIECES))], np.float32),
        "tokenizer.ggml.token_type": np.array([2, 3, 3, *[6] * 256, *[1] * len(PIECES)], np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    } | {f"tokenizer.ggml.{key}": value for key, value in more.items()}


def sentencepiece_oracle(text: str) -> list[int]:
    """SentencePiece's BPE as defined: join the neighbours whose union scores highest, leftmost first, to the end."""
    symbols = list("\u2581" * bool(text) + text.replace(" ", "\u2581"))
    while True:
        joins = [(PIECES.index(a + b), at) for at, (a, b) in enumerate(pairwise(symbols)) if a + b in PIECES]
        if not joins:
            break
        _, at = min(joins)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    ids: list[int] = []
    for symbol in symbols:
        ids += [259 + PIECES.index(symbol)] if symbol in PIECES else [3 + byte for byte in symbol.encode()]
    return [1, *ids]


@given(text=st.text(st.sampled_from("aabbc  \u00e9\n")))
def test_sentencepiece_joins_by_score_and_falls_back_to_bytes(text: str) -> None:
    tokenizer = sentencepiece()
    ids = tokenizer.encode(text)
    assert ids == sentencepiece_oracle(text)
    assert tokenizer.decode(ids) == text


@cache
def sentencepiece() -> Tokenizer:
    return Tokenizer.from_gguf(sentencepiece_metadata())


def test_a_sentencepiece_stream_keeps_the_space_that_joins_it_to_its_prompt() -> None:
    stream = sentencepiece().stream()
    assert stream.push(259 + PIECES.index("\u2581ab")) == " ab"


def test_sentencepiece_without_a_space_before_the_text() -> None:
    tokenizer = Tokenizer.from_gguf(sentencepiece_metadata(add_space_prefix=False, add_bos_token=False))
    assert tokenizer.encode("ab a") == [259 + PIECES.index("ab"), 259 + PIECES.index("\u2581a")]
    assert tokenizer.decode(tokenizer.encode(" ab")) == " ab"


def test_a_sentencepiece_tokenizer_json_decodes_as_the_library_does(tmp_path: Path) -> None:
    vocabulary = {piece: index for index, piece in enumerate(["<unk>", *[f"<0x{b:02X}>" for b in range(256)], *PIECES])}
    library = tokenizers.Tokenizer(models.BPE(vocabulary, [("a", "b")], unk_token="<unk>", byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = Tokenizer.from_file(write_json(library, tmp_path))
    for text in ["ab a", " a", "b\u00e9\U0001f600 c", ""]:
        assert tokenizer.decode(tokenizer.encode(text)) == library.decode(library.encode(text).ids) == text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model": "bert"}, "tokenizer.ggml.model 'bert' is not read. Known: gpt2, llama"),
        ({"model": None}, "tokenizer.ggml.model must be a string, not None"),
        ({"model": np.zeros(3)}, "tokenizer.ggml.model must be a string"),
        ({"pre": "llama-bpo"}, "tokenizer.ggml.pre 'llama-bpo' is not read. Did you mean llama-bpe"),
        ({"pre": np.zeros(3)}, "tokenizer.ggml.pre must be a string"),
        ({"tokens": 3}, "tokenizer.ggml.tokens must be an array of strings"),
        ({"tokens": ()}, "tokenizer.ggml.tokens is empty"),
        ({"tokens": ("a", "b", "a")}, "holds 'a' twice"),
        ({"merges": ("ab",)}, "holds 'ab'; expected two tokens with a space between"),
        ({"merges": ("a z",)}, "tokenizer.ggml.merges does not fit the tokens: .*`z` out of vocabulary"),
        ({"token_type": np.array([1])}, "token_type must be an array of 3 numbers, one for each token"),
        ({"bos_token_id": 3}, "bos_token_id is 3; ids go from 0 to 2"),
        ({"eos_token_id": "a"}, "eos_token_id is 'a'; ids go from 0 to 2"),
    ],
)
def test_malformed_metadata_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(TokenizerError, match=problem):
        Tokenizer.from_gguf(
            gguf_metadata(["a", "b", "ab"], ["a b"]) | {f"tokenizer.ggml.{key}": value for key, value in change.items()}
        )


def test_a_boundless_piece_is_refused() -> None:
    metadata = gguf_metadata(["a", "a" * 300], [], model="llama", scores=np.zeros(2))
    with pytest.raises(TokenizerError, match="a piece of 300 characters; at most 256"):
        Tokenizer.from_gguf(metadata)


def test_sentencepiece_needs_scores() -> None:
    with pytest.raises(TokenizerError, match="scores must be an array of 274 numbers"):
        Tokenizer.from_gguf(sentencepiece_metadata(scores=None))
