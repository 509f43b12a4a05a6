"""Opening what a user names: a folder, a file, shards; and paths that must not be followed."""

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from codesign.weights import WeightsError, open_weights

A, B = np.arange(4, dtype=np.float32), np.arange(6, dtype=np.float16).reshape(2, 3)


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_a_single_file_and_its_folder_give_the_same_weights(tmp_path: Path) -> None:
    save_file({"a": A, "b": B}, tmp_path / "model.safetensors")
    for path in [tmp_path, tmp_path / "model.safetensors"]:
        weights = open_weights(path)
        assert len(weights) == 2
        np.testing.assert_array_equal(weights["a"].float32(), A)
        np.testing.assert_array_equal(weights["b"].float32(), B.astype(np.float32))


def test_a_gguf_file_opens(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("a", A)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.testing.assert_array_equal(open_weights(tmp_path / "m.gguf")["a"].float32(), A)


def test_shards_are_joined_by_the_index(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    save_file({"a": A}, tmp_path / "model-1.safetensors")
    save_file({"b": B, "unlisted": A}, tmp_path / "parts" / "model-2.safetensors")
    write_index(tmp_path, {"a": "model-1.safetensors", "b": "parts/model-2.safetensors"})
    weights = open_weights(tmp_path)
    assert set(weights) == {"a", "b"}
    assert [file.path.name for file in weights.files] == ["model-1.safetensors", "model-2.safetensors"]
    np.testing.assert_array_equal(weights["b"].float32(), B.astype(np.float32))


@pytest.mark.parametrize("shard", ["/etc/passwd", "../outside.safetensors", "inner/../../outside.safetensors"])
def test_a_shard_outside_the_folder_is_refused(tmp_path: Path, shard: str) -> None:
    save_file({"a": A}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    write_index(folder, {"a": shard})
    with pytest.raises(WeightsError, match="must be a file inside the folder"):
        open_weights(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "shard.safetensors"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    save_file({"a": A}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "outside.safetensors")
    write_index(folder, {"a": "shard.safetensors"})
    with pytest.raises(WeightsError, match="symbolic link out of its folder"):
        open_weights(folder)


def snapshot(tmp_path: Path) -> Path:
    """A snapshot as the Hugging Face cache lays it out, its weights among the blobs."""
    cache = tmp_path / "models--someone--something"
    (cache / "blobs").mkdir(parents=True)
    save_file({"a": A}, cache / "blobs" / "5f3a")
    folder = cache / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").symlink_to("../../blobs/5f3a")
    return folder


def test_a_snapshot_of_the_cache_links_to_its_blobs(tmp_path: Path) -> None:
    np.testing.assert_array_equal(open_weights(snapshot(tmp_path))["a"].float32(), A)


@pytest.mark.parametrize("target", ["../../5f3a", "../../../blobs/5f3a", "../../blobs/inner/5f3a", "../other/5f3a"])
def test_a_snapshot_links_nowhere_else(tmp_path: Path, target: str) -> None:
    folder = snapshot(tmp_path)
    place = folder / target
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": A}, place)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(target)
    with pytest.raises(WeightsError, match="symbolic link out of its folder"):
        open_weights(folder)


def test_blobs_beside_another_folder_are_not_a_cache(tmp_path: Path) -> None:
    folder = snapshot(tmp_path)
    folder.parent.rename(folder.parent.with_name("models"))
    with pytest.raises(WeightsError, match="symbolic link out of its folder"):
        open_weights(folder.parent.with_name("models") / folder.name)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shard.safetensors").symlink_to("shard.safetensors")
    write_index(tmp_path, {"a": "shard.safetensors"})
    with pytest.raises(WeightsError, match="a symbolic link that leads to itself"):
        open_weights(tmp_path)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(WeightsError, match="cannot be read: File name too long"):
        open_weights(Path("m" * 5000))


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / "real.safetensors")
    (tmp_path / "model.safetensors").symlink_to("real.safetensors")
    assert list(open_weights(tmp_path)) == ["a"]


@pytest.mark.parametrize(
    ("weight_map", "problem"),
    [
        ([], "weight_map must be an object"),
        ({}, "weight_map must be an object"),
        ({"a": 3}, "the weight_map of 'a' must be a file name"),
        ({"a": "missing.safetensors"}, "no such file"),
        ({"a": "m" * 600}, "cannot be read: File name too long"),
        ({"a": "nul\0byte"}, "must be printable"),
        ({"a": "\ud800"}, "must be printable"),
        ({"z": "real.safetensors"}, "places tensor 'z' in 'real.safetensors', which does not hold it"),
    ],
)
def test_a_malformed_index_is_refused(tmp_path: Path, weight_map: object, problem: str) -> None:
    save_file({"a": A}, tmp_path / "real.safetensors")
    write_index(tmp_path, weight_map)
    with pytest.raises(WeightsError, match=problem):
        open_weights(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for path in [tmp_path, tmp_path / name]:
        with pytest.raises(WeightsError, match="convert the model to safetensors"):
            open_weights(path)


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(WeightsError, match=r"holds neither model.safetensors nor"):
        open_weights(tmp_path)
    with pytest.raises(WeightsError, match=r"expected a .safetensors or .gguf file"):
        open_weights(tmp_path / "notes.txt")
    with pytest.raises(WeightsError, match="no such file"):
        open_weights(tmp_path / "absent.gguf")
