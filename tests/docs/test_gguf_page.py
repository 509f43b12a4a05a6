"""docs/gguf.md names what is read."""

import re
from pathlib import Path

from codesign.frontends.gguf_architectures import ARCHITECTURES
from codesign.tokenizer.gguf import CUTTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gguf.md").read_text()


def test_the_page_lists_every_architecture_and_nothing_else():
    section = PAGE.partition("\n## Architectures\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(ARCHITECTURES)
    assert f"[{len(ARCHITECTURES)} architectures](docs/gguf.md)" in (ROOT / "README.md").read_text()


def test_the_page_lists_every_pre_tokenizer():
    quoted = "".join(re.findall(r"^>(.*)$", PAGE, re.MULTILINE))
    assert re.findall(r"`([\w-]+)`", quoted) == list(CUTTINGS)
