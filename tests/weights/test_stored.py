"""Stored tensors as views of a file."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.weights import StoredTensor, WeightsError
from codesign.weights.stored import Placement, map_file, place_tensors
from codesign_dialects.transformer import View


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


@given(data=st.data())
def test_a_part_is_what_numpy_takes(data) -> None:
    """Transposed, cut into groups along any axis: the values are those of the same indexing of the decoded tensor."""
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    transposed = data.draw(st.booleans())
    turned = values.swapaxes(-1, -2) if transposed else values
    axis = data.draw(st.integers(0, len(shape) - 1))
    groups = data.draw(st.sampled_from([n for n in range(1, 7) if turned.shape[axis] % n == 0]))
    size = turned.shape[axis] // groups
    first = data.draw(st.integers(0, size - 1))
    count = data.draw(st.integers(1, size - first))
    places = [group * size + place for group in range(groups) for place in range(first, first + count)]
    dtype = data.draw(st.sampled_from([np.float32, np.float16]))
    stored = StoredTensor("w", shape, np.dtype(dtype).name, values.astype(dtype).reshape(-1).view(np.uint8))
    view = View(transposed, axis, groups, first, count)
    expected = turned.take(places, axis=axis)
    assert view.shape(shape) == expected.shape
    np.testing.assert_array_equal(stored.part(view).float32(), expected)
    np.testing.assert_array_equal(stored.part(View(transposed=True)).float32(), values.swapaxes(-1, -2))


@pytest.mark.parametrize("shape", [(6,), (2, 6), (4, 2, 6)])
def test_a_flat_part_is_a_matrix(shape) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32)
    stored = StoredTensor("w", shape, "float32", values.view(np.uint8))
    matrix = values.reshape(-1, 6)
    np.testing.assert_array_equal(stored.part(View(flat=shape)).float32(), matrix)
    np.testing.assert_array_equal(stored.part(View(flat=shape, axis=1, first=1, count=3)).float32(), matrix[:, 1:4])
    with pytest.raises(WeightsError, match=r"tensor 'w': axes \[3, 6\]: the shape is"):
        stored.part(View(flat=(3, 6)))


def test_rows_that_lie_together_are_not_copied() -> None:
    payload = np.zeros(4 * 6 * 8, np.uint8)
    part = StoredTensor("w", (6, 8), "float32", payload).part(View(first=2, count=3))
    assert np.shares_memory(part.payload, payload)
    assert part.shape == (3, 8)


def test_rows_of_blocks_are_taken_whole_and_nothing_smaller() -> None:
    payload = np.arange(4 * 34, dtype=np.uint8)  # four rows of one q8_0 block
    stored = StoredTensor("w", (4, 32), "q8_0", payload)
    np.testing.assert_array_equal(stored.part(View(first=1, count=2)).payload, payload[34 : 3 * 34])
    for view in (View(axis=1, first=0, count=16), View(transposed=True)):
        with pytest.raises(WeightsError, match="tensor 'w': a part of it cuts through the blocks of q8_0"):
            stored.part(view)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(axis=2, first=0, count=1), r"axis 2 of shape \[4, 6\] does not divide into 1 groups"),
        (View(groups=3, first=0, count=1), r"axis 0 of shape \[4, 6\] does not divide into 3 groups"),
        (View(first=3, count=2), "places 3 to 5 of groups of 4"),
    ],
)
def test_a_part_that_is_not_there(view, message) -> None:
    with pytest.raises(WeightsError, match=message):
        StoredTensor("w", (4, 6), "float32", np.zeros(96, np.uint8)).part(view)
