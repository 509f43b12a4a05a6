"""The tokenizer that lies beside a program's weights."""

from codesign.errors import CodesignError
from codesign.program import Program
from codesign.tokenizer.tokenizer import Tokenizer
from codesign.weights import open_gguf


def tokenizer_of(program: Program) -> Tokenizer:
    """The tokenizer beside the program's weights.

    Raises
    ------
    CodesignError
        When there is none; token ids can be given and read instead.
    """
    source = program.source
    if source is not None and source.suffix == ".gguf":
        return Tokenizer.from_gguf(open_gguf(source).metadata)
    file = None if source is None else (source if source.is_dir() else source.parent) / "tokenizer.json"
    if file is None or not file.is_file():
        raise CodesignError(f"{program.name} has no tokenizer.json beside its weights: give token ids instead of text")
    return Tokenizer.from_file(file)
