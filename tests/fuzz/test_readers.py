"""Every reader of a stranger's file against mutations of a valid one: it reads the file or refuses it in one line."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TOOLS = Path(__file__).parents[2] / "tools"
FUZZ = runpy.run_path(str(TOOLS / "readers.py"))
READERS, mutated = FUZZ["READERS"], FUZZ["mutated"]


@pytest.fixture(scope="module", params=READERS)
def prepared(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return READERS[request.param], folder, READERS[request.param].seed(folder)


def test_the_file_that_is_mutated_is_read(prepared) -> None:
    reader, folder, content = prepared
    assert reader.attempt(folder, content) is None


def test_a_mutated_file_is_read_or_refused(prepared) -> None:
    reader, folder, content = prepared

    @settings(max_examples=25)
    @given(seed=st.integers(0, 2**32))
    def attempt(seed: int) -> None:
        reader.attempt(folder, mutated(content, seed))

    attempt()


def test_what_is_no_refusal_is_found(tmp_path) -> None:
    reader = FUZZ["Reader"]("x", lambda folder: b"", lambda path: int(path.read_bytes()))
    with pytest.raises(ValueError, match="invalid literal"):
        reader.attempt(tmp_path, b"y")
    with pytest.raises(AssertionError, match="MiB"):
        FUZZ["Reader"]("x", lambda folder: b"", lambda path: bytes(100 << 20)).attempt(tmp_path, b"")


@pytest.mark.nightly
@pytest.mark.parametrize("name", READERS)
def test_mutations_that_reach_new_code(name) -> None:
    ran = subprocess.run(
        [sys.executable, str(TOOLS / "fuzz.py"), name, "2000"], capture_output=True, text=True, timeout=1200
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "Done 2000 runs" in ran.stderr
