"""Element types: ONNX's numbers, and what they are in the IR and in stored weights."""

from collections.abc import Mapping

from onnx import TensorProto
from xdsl.dialects.builtin import (
    BFloat16Type,
    ComplexType,
    Float4E2M1FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
)
from xdsl.ir import Attribute

from codesign.errors import CodesignError


def _unsigned(bits: int) -> IntegerType:
    return IntegerType(bits, Signedness.UNSIGNED)


ELEMENTS: Mapping[int, Attribute] = {
    TensorProto.FLOAT: Float32Type(),
    TensorProto.UINT8: _unsigned(8),
    TensorProto.INT8: IntegerType(8),
    TensorProto.UINT16: _unsigned(16),
    TensorProto.INT16: IntegerType(16),
    TensorProto.INT32: IntegerType(32),
    TensorProto.INT64: IntegerType(64),
    TensorProto.BOOL: IntegerType(1),
    TensorProto.FLOAT16: Float16Type(),
    TensorProto.DOUBLE: Float64Type(),
    TensorProto.UINT32: _unsigned(32),
    TensorProto.UINT64: _unsigned(64),
    TensorProto.COMPLEX64: ComplexType(Float32Type()),
    TensorProto.COMPLEX128: ComplexType(Float64Type()),
    TensorProto.BFLOAT16: BFloat16Type(),
    TensorProto.FLOAT8E4M3FN: Float8E4M3FNType(),
    TensorProto.FLOAT8E4M3FNUZ: Float8E4M3FNUZType(),
    TensorProto.FLOAT8E5M2: Float8E5M2Type(),
    TensorProto.FLOAT8E5M2FNUZ: Float8E5M2FNUZType(),
    TensorProto.UINT4: _unsigned(4),
    TensorProto.INT4: IntegerType(4),
    TensorProto.FLOAT4E2M1: Float4E2M1FNType(),
    TensorProto.FLOAT8E8M0: Float8E8M0FNUType(),
    TensorProto.UINT2: _unsigned(2),
    TensorProto.INT2: IntegerType(2),
}
"""Element types of the IR by ONNX's number."""

STORED: Mapping[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "uint4",
}
"""Formats of large tensors by ONNX's number."""


def element(number: int, where: str) -> Attribute:
    """The element type of ONNX's number. Raises CodesignError where the IR has none."""
    if number not in ELEMENTS:
        known = TensorProto.DataType.DESCRIPTOR.values_by_number.get(number)
        raise CodesignError(f"{where}: tensors of {known.name.lower() if known else number} are not supported")
    return ELEMENTS[number]
