"""ONNX files: conformance to the standard's own cases, and files that are broken or lead astray."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from codesign import api
from codesign.errors import CodesignError
from codesign.ir import parse_module
from codesign.plugins.manager import plugins

DOCS = Path(__file__).parents[2] / "docs"


def model_of(nodes, inputs, outputs, initializers=(), version=28):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10)


def floats(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def linear(folder, weight, *, external=None):
    """A model of one matrix product; `external` are the entries that say where its weight is."""
    tensor = numpy_helper.from_array(weight, "w")
    if external is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in external.items():
            tensor.external_data.add(key=key, value=value)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = model_of(nodes, [floats("x", 2, weight.shape[0])], [floats("y", 2, weight.shape[1])], [tensor])
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


WEIGHT = np.random.default_rng(0).standard_normal((128, 96), np.float32)
X = np.random.default_rng(1).standard_normal((2, 128), np.float32)


def test_every_conformance_case_that_is_not_refused_passes_and_the_page_lists_them():
    module = runpy.run_path(str(DOCS / "conformance.py"))
    outcome = module["run"]()
    assert not outcome.failed
    assert outcome.passed.total() >= 1000
    assert (DOCS / "onnx.md").read_text() == module["page"](outcome), "run `python docs/conformance.py`"


def test_a_program_is_the_same_after_a_round_trip_through_text(tmp_path):
    program = api.load_model(linear(tmp_path, WEIGHT))
    again = program.with_module(parse_module(str(program), "text", plugins().context()))
    (one,), (other,) = (api.compute(each, {"x": X}).values() for each in (program, again))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, X @ WEIGHT, rtol=1e-5, atol=1e-5)


def test_a_saved_program_finds_its_weights_again(tmp_path):
    program = api.load_model(linear(tmp_path, WEIGHT))
    api.save(program, tmp_path / "saved.mlir")
    again = api.load_model(tmp_path / "saved.mlir")
    np.testing.assert_array_equal(api.compute(again, {"x": X})["y"], api.compute(program, {"x": X})["y"])


def test_constants_that_are_not_finite_survive_text(tmp_path):
    mask = np.array([0, -np.inf, np.inf, np.nan], np.float32)
    nodes = [helper.make_node("Add", ["x", "m"], ["y"])]
    model = model_of(nodes, [floats("x", 4)], [floats("y", 4)], [numpy_helper.from_array(mask, "m")])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    program = api.load_model(tmp_path / "m.onnx")
    again = program.with_module(parse_module(str(program), "text", plugins().context()))
    np.testing.assert_array_equal(api.compute(again, {"x": np.ones(4, np.float32)})["y"], 1 + mask)


def test_external_data_is_read_from_inside_the_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"\0" * 64 + WEIGHT.tobytes())
    entries = {"location": "data/w.bin", "offset": "64", "length": str(WEIGHT.nbytes)}
    program = api.load_model(linear(tmp_path, WEIGHT, external=entries))
    np.testing.assert_allclose(api.compute(program, {"x": X})["y"], X @ WEIGHT, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../w.bin"}, "is not inside the folder"),
        ({"location": "data/../../w.bin"}, "is not inside the folder"),
        ({"location": "/etc/passwd"}, "is not inside the folder"),
        ({"location": "link.bin"}, "is not inside the folder"),
        ({}, "is not inside the folder"),
        ({"location": "missing.bin"}, "no such file"),
        ({"location": "."}, "not a regular file"),
        ({"location": "short.bin"}, "is the file truncated"),
        ({"location": "w.bin", "offset": "-4"}, "are not negative"),
        ({"location": "w.bin", "offset": "x"}, "whole numbers"),
        ({"location": "w.bin", "length": "12"}, "takes 49152 bytes"),
        ({"location": "w.bin", "offset": str(1 << 62)}, "is the file truncated"),
    ],
)
def test_external_data_that_leads_astray_is_refused(tmp_path, entries, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (tmp_path / "w.bin", folder / "w.bin"):
        file.write_bytes(WEIGHT.tobytes())
    (folder / "short.bin").write_bytes(WEIGHT.tobytes()[:-1])
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(CodesignError, match=message) as error:
        api.load_model(linear(folder, WEIGHT, external=entries))
    assert "\n" not in str(error.value)


def test_a_large_tensor_whose_bytes_are_not_those_of_its_shape_is_refused(tmp_path):
    model = onnx.load(linear(tmp_path, WEIGHT))
    model.graph.initializer[0].dims[0] = 1 << 40
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CodesignError, match="the file holds 49152"):
        api.load_model(tmp_path / "model.onnx")


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    content = linear(tmp_path, WEIGHT).read_bytes()
    name = onnx.load(tmp_path / "model.onnx").graph.initializer[0].name.encode()
    (tmp_path / "model.onnx").write_bytes(content.replace(name, b"\xff" * len(name)))
    with pytest.raises(CodesignError, match=r"is not an ONNX file: an? \w+ is not UTF-8: b'\\xff"):
        api.load_model(tmp_path / "model.onnx")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("onnx")
    path = linear(folder, WEIGHT[:16, :8])
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    try:
        api.load_model(path)
    except CodesignError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([helper.make_node("Gru", ["x"], ["y"])], "the operator Gru is not supported"),
        ([helper.make_node("LSTM", ["x", "x", "x"], ["y"])], "node 0 .LSTM.: the operator LSTM is not supported"),
        ([helper.make_node("Relu", ["x"], ["y"], domain="com.example")], "of the domain 'com.example'"),
        ([helper.make_node("Relu", ["z"], ["y"])], "nothing before it gives 'z'"),
        ([helper.make_node("Relu", ["x"], ["z"])], "nothing gives the output 'y'"),
        ([helper.make_node("Softmax", ["x"], ["y"], axle=1)], "'axle'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, nodes, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(nodes, [floats("x", 2, 3)], [floats("y", 2, 3)]).SerializeToString())
    with pytest.raises(CodesignError, match=message):
        api.load_model(path)


@pytest.mark.parametrize("version", [12, 29])
def test_other_operator_sets_are_refused(tmp_path, version):
    path = tmp_path / "model.onnx"
    nodes = [helper.make_node("Softmax", ["x"], ["y"])]
    path.write_bytes(model_of(nodes, [floats("x", 2, 3)], [floats("y", 2, 3)], version=version).SerializeToString())
    with pytest.raises(CodesignError, match=f"operator set {version} is not supported"):
        api.load_model(path)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "the inputs are x; got none"),
        ({"x": X.astype(np.float64)}, "the input x is a tensor<2x128xf32>; got float64"),
        ({"x": X[:1]}, r"got float32\[1, 128\]"),
    ],
)
def test_inputs_of_another_type_are_refused(tmp_path, inputs, message):
    program = api.load_model(linear(tmp_path, WEIGHT))
    with pytest.raises(CodesignError, match=message):
        api.compute(program, inputs)


@settings(max_examples=30, deadline=None)
@given(inner=st.integers(1, 40), seed=st.integers(0, 1 << 30), bits=st.sampled_from([8, 20, 31]))
def test_integer_products_are_those_of_whole_numbers(tmp_path_factory, inner, seed, bits):
    random = np.random.default_rng(seed)
    a, b = (random.integers(-(1 << bits), 1 << bits, shape) for shape in ((3, inner), (inner, 2)))
    shapes = {"x": a.shape, "w": b.shape, "y": (3, 2)}
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in shapes.items()]
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], values[:2], values[2:])
    path.write_bytes(model.SerializeToString())
    result = api.compute(api.load_model(path), {"x": a, "w": b})["y"]
    exact = a.astype(object) @ b.astype(object)
    wrapped = (exact + (1 << 63)) % (1 << 64) - (1 << 63)
    np.testing.assert_array_equal(result, wrapped.astype(np.int64))
