"""Jane Austen's six novels as chapters, and a byte-level BPE learned from them."""

import hashlib
import os
import re
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # merges of equal count must not depend on thread timing

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0

TEXT_PACKAGE = "r-cran-janeaustenr"
TEXT_DATABASE = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
# Of the lines of all novels, in this order, joined by newlines.
TEXT_SHA256 = "1f48a6d7751aa60776b8aacf34d3b6898c46f4ee0fd103d733dd04f45e761841"
NOVELS = ("Emma", "Mansfield Park", "Northanger Abbey", "Persuasion", "Pride and Prejudice", "Sense and Sensibility")
HELDOUT_EVERY, HELDOUT_FIRST = 20, 9  # of all chapters, numbered from 0 through the six novels
EXCERPT_BYTES = 32_000

CHAPTER_HEADING = re.compile(r"chapter +([ivxlc]+|\d+)\.?", re.IGNORECASE)
END_OF_NOVEL = re.compile(r"(the end|finis|a note on the text)", re.IGNORECASE)
EDITORIAL_LINE = re.compile(
    r"[\[(]?(end (of )?volume|volume|at this point in the first)\b.*|[* ]+|\*vide a letter.*", re.IGNORECASE
)


@dataclass(frozen=True)
class Chapter:
    novel: str
    number: int  # counted from 1 through the novel, whatever its volumes
    text: str  # one line a paragraph


def fetch_novels() -> list[list[str]]:
    """The lines of each novel, in the order of `NOVELS`, from the Debian package."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["apt-get", "download", "-qq", TEXT_PACKAGE], cwd=folder, check=True)
            package = next(Path(folder).glob("*.deb"))
            subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=folder, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(
                f"error: cannot get the text: {error}; it takes Debian or Ubuntu, and `apt-get update` run once"
            ) from error
        database = (Path(folder) / TEXT_DATABASE).read_bytes()
    novels = list(map(read_character_vector, inflate_each(database)))
    digest = hashlib.sha256("\n".join("\n".join(lines) for lines in novels).encode()).hexdigest()
    if digest != TEXT_SHA256:
        raise SystemExit(f"error: the text in {TEXT_PACKAGE} has sha256 {digest}; wanted {TEXT_SHA256}")
    return novels


def inflate_each(database: bytes) -> list[bytes]:
    """The values of an R lazy-load database, each a big-endian length and a zlib stream."""
    values: list[bytes] = []
    while database:
        stream = zlib.decompressobj()
        values.append(stream.decompress(database[4:]))
        database = stream.unused_data
    return values


def read_character_vector(value: bytes) -> list[str]:
    """A character vector in R's XDR serialization, version 3 (R Internals, section 1.8)."""
    encoding_length = struct.unpack_from(">i", value, 14)[0]
    offset = 18 + encoding_length
    kind, count = struct.unpack_from(">ii", value, offset)
    if value[:2] != b"X\n" or kind != 16:
        raise SystemExit(f"error: {TEXT_PACKAGE} holds R type {kind} where a character vector (16) was expected")
    offset += 8
    strings: list[str] = []
    for _ in range(count):
        length = struct.unpack_from(">i", value, offset + 4)[0]
        strings.append(value[offset + 8 : offset + 8 + length].decode())
        offset += 8 + length
    return strings


def split_chapters(novel: str, lines: Sequence[str]) -> list[Chapter]:
    """The chapters of a novel, without headings, editors' lines, and marks of emphasis."""
    chapters: list[list[str]] = []
    for line in map(str.strip, lines):
        if CHAPTER_HEADING.fullmatch(line):
            chapters.append([])
        elif END_OF_NOVEL.fullmatch(line):
            break
        elif chapters and not EDITORIAL_LINE.fullmatch(line):
            chapters[-1].append(line)
    return [Chapter(novel, number, join_paragraphs(body)) for number, body in enumerate(chapters, 1)]


def join_paragraphs(lines: Sequence[str]) -> str:
    text = re.sub(r"[_*]", "", "\n".join(lines))
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n{2,}", text))
    return "\n".join(filter(None, paragraphs))


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE: any string of bytes has an encoding, and no text is changed by encoding and decoding it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_stream(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Each text preceded by the end-of-text token, so that every token of a text has a context."""
    return [token for text in texts for token in (END_OF_TEXT_ID, *tokenizer.encode(text).ids)]
