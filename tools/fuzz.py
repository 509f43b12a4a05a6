"""Coverage-guided fuzzing of what reads strangers' files (atheris; `pip install 'codesign[fuzz]'`).

python tools/fuzz.py              names the readers
python tools/fuzz.py gguf 20000   tries 20,000 mutations of a reader's seed, those that reach new code again
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["codesign", "codesign_dialects"]):
    from readers import READERS, mutated


def fuzz(name: str, runs: int) -> None:
    """Ends the process, with a failure at the first file that is neither read nor refused."""
    reader, folder, corpus = READERS[name], Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    (corpus / "seed").write_bytes(reader.seed(folder))
    options = [f"-runs={runs}", "-max_len=65536", "-rss_limit_mb=2048", "-timeout=60", f"-artifact_prefix={folder}/"]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)],
        lambda data: reader.attempt(folder, data),
        custom_mutator=lambda data, most, seed: mutated(data, seed)[:most],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in READERS or not sys.argv[2].isdecimal():
        sys.exit(f"{__doc__}\nreaders: {', '.join(READERS)}")
    fuzz(sys.argv[1], int(sys.argv[2]))
