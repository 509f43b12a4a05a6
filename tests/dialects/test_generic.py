"""The generic dialect: its table against the standard, its text, what its verifier refuses."""

import onnx
import pytest

from codesign.errors import CodesignError
from codesign.ir import parse_module
from codesign.plugins.manager import plugins
from codesign_dialects.generic import OPERATORS
from codesign_dialects.generic.microsoft import DOMAIN

SCHEMAS = {
    name.lower(): onnx.defs.get_schema(name, 28)
    for name in {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
}


def module(body, signature="%x: tensor<2x4xf32>, %n: tensor<i64>"):
    return (
        "builtin.module attributes {codesign.version = 1 : i64} {\n"
        f"  func.func @main({signature}) {{\n    {body}\n    func.return\n  }}\n}}\n"
    )


def parsed(text):
    return parse_module(text, "text", plugins().context())


@pytest.mark.parametrize("name", sorted(name for name in OPERATORS if not name.startswith(DOMAIN)))
def test_an_operator_is_as_the_standard_defines_it(name):
    operator, schema = OPERATORS[name], SCHEMAS[name.replace("_", "")]
    for places, formal in ((operator.operands, schema.inputs), (operator.results, schema.outputs)):
        assert [place.optional for place in places] == [
            each.option == onnx.defs.OpSchema.FormalParameterOption.Optional for each in formal
        ]
        assert [place.repeated for place in places] == [
            each.option == onnx.defs.OpSchema.FormalParameterOption.Variadic for each in formal
        ]
    types = {"to", "dtype", "output_dtype"}
    attributes = {key.lower().replace("_", ""): value for key, value in schema.attributes.items() if key not in types}
    assert {key.replace("_", "") for key in operator.options} == set(attributes)
    for key, option in operator.options.items():
        attribute = attributes[key.replace("_", "")]
        assert option.required == attribute.required
        if attribute.default_value.name:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            value = value.decode() if isinstance(value, bytes) else value
            assert option.default == (pytest.approx(value, rel=1e-7) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    "body",
    [
        '%y = generic.apply "softmax"(%x) {axis = 1 : i64} : (tensor<2x4xf32>) -> tensor<2x4xf32>',
        '%y = generic.apply "clip"(%x, _, %x) : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>',
        '%y, %i = generic.apply "top_k"(%x, %n) : (tensor<2x4xf32>, tensor<i64>) -> (tensor<2x?xf32>, tensor<*xi64>)',
        '%y = generic.apply "transpose"(%x) {perm = array<i64: 1, 0>} : (tensor<2x4xf32>) -> tensor<4x2xf32>',
        "%y = generic.constant dense<[1.000000e-01, -0.000000e+00]> : tensor<2xf32>",
        "%y = generic.constant dense<[-8388608, 2143289344]> : tensor<2xi32> as tensor<2xf32>",
        "%y = generic.constant dense<[true, false]> : tensor<2xi1>",
        "%y = generic.constant dense<[-8, 7]> : tensor<2xi4>",
    ],
)
def test_text_round_trips(body):
    first = parsed(module(body))
    assert body in str(first)
    assert str(parsed(str(first))) == str(first)
    generic = parsed(_generic(first))
    assert str(generic) == str(first)


def _generic(module):
    from io import StringIO

    from xdsl.printer import Printer

    stream = StringIO()
    Printer(stream, print_generic_format=True).print_op(module)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('%y = generic.apply "sofmax"(%x) : (tensor<2x4xf32>) -> tensor<2x4xf32>', "no operator is called 'sofmax'"),
        ('%y = generic.apply "add"(%x) : (tensor<2x4xf32>) -> tensor<2x4xf32>', "takes 2 to 2 operands, got 1"),
        (
            '%y = generic.apply "add"(%x, %n) : (tensor<2x4xf32>, tensor<i64>) -> tensor<2x4xf32>',
            "operand b must be of f32, got i64",
        ),
        ('%y = generic.apply "exp"(%x) : (tensor<2x4xf32>) -> tensor<2x4xf64>', "result y must be of f32, got f64"),
        ('%y = generic.apply "shape"(%x) : (tensor<2x4xf32>) -> index', "result shape must be a tensor, got index"),
        (
            '%y = generic.apply "softmax"(%x) {axes = 1 : i64} : (tensor<2x4xf32>) -> tensor<2x4xf32>',
            "no option is called 'axes'; options: axis",
        ),
        (
            '%y = generic.apply "softmax"(%x) {axis = 1.0 : f64} : (tensor<2x4xf32>) -> tensor<2x4xf32>',
            "axis must be a int",
        ),
        ('%y = generic.apply "concat"(%x) : (tensor<2x4xf32>) -> tensor<2x4xf32>', "option axis must be given"),
        (
            '%y = generic.apply "gather"(_, %x) : (tensor<2x4xf32>) -> tensor<2x4xf32>',
            "operand data must be given",
        ),
        ("%y = generic.constant dense<0> : tensor<2xi32> as tensor<2xf64>", "no bits of a tensor<2xf64>"),
        ("%y = generic.constant dense<0> : tensor<5000xi64>", "at most 4096 values"),
    ],
)
def test_what_does_not_hold_is_refused(body, message):
    with pytest.raises(CodesignError, match=message):
        parsed(module(body))
