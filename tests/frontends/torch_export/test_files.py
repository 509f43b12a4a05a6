"""torch.export's files: what they compute, and files that are broken or hostile, refused in a line."""

import json
import struct
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from tests.frontends.torch_export.archives import meta, node, program, write

WEIGHT = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)
LINEAR = program(
    [node("linear.default", ["y"], input="x", weight="w")],
    {"x": meta([2, 4])},
    ["y"],
    {"y": meta([2, 6])},
    {"w": WEIGHT},
)


@pytest.fixture
def linear(tmp_path):
    return write(tmp_path / "model.pt2", LINEAR, {"w": WEIGHT})


def compute(path, **inputs):
    return list(api.compute(api.load_model(path), inputs).values())


def test_a_product_is_computed_and_its_weight_mapped(linear):
    (y,) = compute(linear, x=X)
    np.testing.assert_allclose(y, X @ WEIGHT.T, rtol=1e-6)
    weights = api.load_model(linear).weights
    assert weights is not None and weights["w"].mapping is not None


def test_saved_ir_finds_its_weights_again(linear, tmp_path):
    api.save(api.load_model(linear), tmp_path / "model.mlir")
    np.testing.assert_array_equal(compute(tmp_path / "model.mlir", x=X)[0], compute(linear, x=X)[0])


def test_a_tensor_that_is_a_part_of_its_storage(tmp_path):
    storage = np.arange(40, dtype=np.float32)

    def change(config):
        config["w"]["tensor_meta"] = meta([6, 4])
        config["w"]["tensor_meta"]["strides"] = [{"as_int": 1}, {"as_int": 6}]
        config["w"]["tensor_meta"]["storage_offset"] = {"as_int": 5}

    path = write(tmp_path / "model.pt2", LINEAR, {"w": storage}, change=change)
    (y,) = compute(path, x=X)
    np.testing.assert_allclose(y, X @ storage[5:29].reshape(4, 6), rtol=1e-6)


def test_in_place_writes_show_in_what_they_are_slices_of(tmp_path):
    nodes = [
        node("clone.default", ["whole"], self="x"),
        node("slice.Tensor", ["part"], self="whole", dim=1, start=1, end=3),
        node("mul_.Tensor", ["doubled"], self="part", other=2.0),
        node("add.Tensor", ["y"], self="whole", other=1.0),
    ]
    types = {"whole": meta([2, 4]), "part": meta([2, 2]), "doubled": meta([2, 2]), "y": meta([2, 4])}
    path = write(tmp_path / "model.pt2", program(nodes, {"x": meta([2, 4])}, ["y"], types))
    wanted = X.copy()
    wanted[:, 1:3] *= 2
    np.testing.assert_array_equal(compute(path, x=X)[0], wanted + 1)


def test_a_view_of_what_was_written_in_place_is_refused(tmp_path):
    nodes = [
        node("clone.default", ["whole"], self="x"),
        node("unsqueeze.default", ["view"], self="whole", dim=0),
        node("mul_.Tensor", ["doubled"], self="whole", other=2.0),
        node("add.Tensor", ["y"], self="view", other=1.0),
    ]
    types = {"whole": meta([2, 4]), "view": meta([1, 2, 4]), "doubled": meta([2, 4]), "y": meta([1, 2, 4])}
    path = write(tmp_path / "model.pt2", program(nodes, {"x": meta([2, 4])}, ["y"], types))
    with pytest.raises(CodesignError, match="written in place"):
        api.load_model(path)


def refused(path, *words):
    with pytest.raises(CodesignError) as caught:
        api.load_model(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    assert all(word in text for word in words), text


def changed(change):
    """The program after `change`."""
    copy = json.loads(json.dumps(LINEAR))
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["w"].update(use_pickle=True), ["'w'", "pickle"]),
        (lambda c: c["w"]["tensor_meta"].update(sizes=[{"as_int": 6}, {"as_int": 1 << 40}]), ["ends beyond"]),
        (lambda c: c["w"]["tensor_meta"].update(sizes=[{"as_int": -1}, {"as_int": 4}]), ["impossible"]),
        (lambda c: c["w"]["tensor_meta"].update(storage_offset={"as_int": 1}), ["ends beyond"]),
        (lambda c: c["w"]["tensor_meta"].update(dtype=99), ["scalar type 99"]),
        (lambda c: c["w"].update(path_name="../../model/models/model.json"), ["holds no"]),
        (lambda c: c["w"].update(path_name="weight_7"), ["holds no", "weight_7"]),
        (lambda c: c.update({"a\nb": c.pop("w")}), ["printable"]),
        (lambda c: c.pop("w"), ["'w'", "asks for"]),
        (lambda c: c["w"].pop("tensor_meta"), ["broken"]),
    ],
)
def test_weights_that_are_broken_or_hostile(tmp_path, change, words):
    refused(write(tmp_path / "model.pt2", LINEAR, {"w": WEIGHT}, change=change), *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["schema_version"].update(major=9), ["version 9"]),
        (lambda p: p["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.aten.conv2d.default"), ["conv2d"]),
        (lambda p: p["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.mine.linear"), ["mine.linear"]),
        (lambda p: p["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"]["as_tensor"].update(name="z"), ["'z'"]),
        (lambda p: p["graph_module"].pop("signature"), ["broken"]),
        (lambda p: p["graph_module"]["graph"].update(nodes=[3]), ["broken"]),
        (lambda p: p["graph_module"]["graph"]["tensor_values"]["x"].update(dtype=29), ["scalar type 29"]),
    ],
)
def test_graphs_that_are_broken(tmp_path, change, words):
    refused(write(tmp_path / "model.pt2", changed(change), {"w": WEIGHT}), *words)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    bomb = {**LINEAR, "padding": "0" * 10_000_000}
    refused(write(tmp_path / "model.pt2", bomb, {"w": WEIGHT}, compression=ZIP_DEFLATED), "compressed")


def test_what_is_no_archive_or_an_old_one(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"\x80\x02c__builtin__\neval\n")
    refused(path, "not a file of torch.export")
    with ZipFile(path, "w") as file:
        file.writestr("serialized_exported_program.json", "{}")
    refused(path, "older than 2.8")
    with ZipFile(path, "w") as file:
        file.writestr("model/models/model.json", "[" * 100_000)
    refused(path, "JSON")


def test_the_pickle_of_sample_inputs_is_never_read(linear):
    before = str(api.load_model(linear))
    with ZipFile(linear, "a") as file:
        file.writestr("model/data/sample_inputs/model.pt", b"cos\nsystem\n(S'false'\ntR.")
    assert str(api.load_model(linear)) == before


@settings(max_examples=60)
@given(st.data())
def test_a_file_that_is_cut_or_has_bytes_changed_loads_or_is_refused(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("cut") / "model.pt2", LINEAR, {"w": WEIGHT})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(1, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        api.load_model(path)
    except CodesignError as error:
        assert "\n" not in str(error)


def test_headers_that_lead_out_of_the_file(linear):
    content = bytearray(linear.read_bytes())
    central = content.find(b"PK\x01\x02")
    content[central + 42 : central + 46] = struct.pack("<I", 0xFFFFFFF0)
    linear.write_bytes(content)
    refused(linear, "truncated")


def test_headers_before_the_file_begins(linear):
    """The end of an archive says where its directory is; moved on, all that it lists begins earlier."""
    content = bytearray(linear.read_bytes())
    end = content.rfind(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", content, end + 16)
    struct.pack_into("<I", content, end + 16, directory + len(content))
    linear.write_bytes(content)
    refused(linear, "begins beyond the file")
