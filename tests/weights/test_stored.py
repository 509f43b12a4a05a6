"""Stored tensors as views of a file."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from codesign.weights import StoredTensor, WeightsError
from codesign.weights.stored import Placement, map_file, place_tensors


def resident_pages(path: Path) -> int:
    """Pages of the file that this process has mapped in, from /proc."""
    resident, of_file = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            of_file = line.endswith(str(path))
        elif of_file and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024 // mmap.PAGESIZE
    return resident


def test_float32_is_a_read_only_view_of_the_file(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    (tmp_path / "f").write_bytes(values.tobytes())
    tensor = place_tensors(tmp_path / "f", map_file(tmp_path / "f"), [Placement("t", (2, 3), "float32", 0)])["t"]
    decoded = tensor.float32()
    assert np.shares_memory(decoded, tensor.payload)
    assert not decoded.flags.writeable
    np.testing.assert_array_equal(decoded, values.reshape(2, 3))
    assert tensor.nbytes == 24


def test_misaligned_float32_is_copied(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    (tmp_path / "f").write_bytes(b"x" + values.tobytes())
    tensor = place_tensors(tmp_path / "f", map_file(tmp_path / "f"), [Placement("t", (6,), "float32", 1)])["t"]
    decoded = tensor.float32()
    assert decoded.flags.aligned
    np.testing.assert_array_equal(decoded, values)


def test_release_gives_back_the_pages_and_the_values_stay(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    count = 64 * mmap.PAGESIZE
    path.write_bytes(b"head" + np.arange(count, dtype=np.float32).tobytes())
    tensor = place_tensors(path, map_file(path), [Placement("t", (count,), "float32", 4)])["t"]
    total = float(tensor.float32().sum(dtype=np.float64))
    assert resident_pages(path) >= 256
    tensor.release()
    assert resident_pages(path) == 0
    assert float(tensor.float32().sum(dtype=np.float64)) == total


def test_release_of_a_tensor_that_is_not_mapped_changes_nothing() -> None:
    tensor = StoredTensor("t", (2,), "int8", np.array([1, 255], np.uint8))
    tensor.release()
    assert tensor.float32().tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("placement", "problem"),
    [
        (Placement("t", (17,), "int8", 0), "ends at byte 17 of 16"),
        (Placement("t", (1,) * 9, "int8", 0), "9 dimensions"),
        (Placement("t", (0, 1 << 40, 1 << 40), "int8", 0), "impossible shape"),
        (Placement("t", (16,), "q4_0", 0), "blocks of 32"),
        (Placement("t", (8,), "int8", 0, nbytes=9), "takes 8 bytes, but the header gives it 9"),
    ],
)
def test_a_placement_outside_the_file_or_sense_is_refused(tmp_path: Path, placement: Placement, problem: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(16))
    with pytest.raises(WeightsError, match=problem) as caught:
        place_tensors(path, map_file(path), [placement])
    assert str(path) in str(caught.value)


def test_duplicates_and_overlaps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(16))
    with pytest.raises(WeightsError, match="'a' appears twice"):
        place_tensors(path, map_file(path), [Placement("a", (1,), "int8", 0), Placement("a", (1,), "int8", 1)])
    with pytest.raises(WeightsError, match="'b' and 'a' overlap at byte 7"):
        place_tensors(path, map_file(path), [Placement("a", (4,), "int8", 7), Placement("b", (8,), "int8", 0)])


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, problem in [("empty", "is empty"), ("absent", "no such file"), (".", "not a regular file")]:
        with pytest.raises(WeightsError, match=problem):
            map_file(tmp_path / name)
