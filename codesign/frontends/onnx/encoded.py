"""Weights that a graph holds as integers and scales apart, as parameters that are stored so."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.builder import Builder
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.rewriter import InsertPoint

from codesign.frontends.onnx.graph import element_of
from codesign.numerics.block_formats import pack, unpack
from codesign.numerics.encoded import Encoded
from codesign.numerics.packing import unpack_bits
from codesign.program import Program
from codesign.weights import StoredTensor
from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.generic import MAIN, ConstantOp
from codesign_dialects.transformer import GetOp, ParameterOp
from codesign_dialects.transformer.shapes import with_encoding

Array = NDArray[Any]
_FLOATS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_INTEGERS = {"i8": "int8", "ui8": "uint8", "i4": "int4", "ui4": "uint4"}


class Encoder:
    """Makes the parameters, at the front of the function; `tensors` are what they store."""

    def __init__(self, program: Program, module: ModuleOp):
        self.tensors: dict[str, StoredTensor] = {}
        self._program, self._module = program, module
        (function,) = [op for op in module.ops if isinstance(op, FuncOp) and MAIN in op.attributes]
        self._builder = Builder(InsertPoint.at_start(function.body.block))
        self._made: dict[tuple[SSAValue, SSAValue], SSAValue] = {}

    def packed(
        self, b: SSAValue, scales: SSAValue, zeros: SSAValue | None, *, n: int, k: int, bits: int, block_size: int
    ) -> SSAValue | None:
        """The weight ``[n, k]`` of com.microsoft.MatMulNBits; None where it cannot be stored as it is."""
        codes, factors, zero = self._array(b), self._array(scales), self._array(zeros)
        if (
            codes is None
            or factors is None
            or k % block_size
            or bits not in (2, 4, 8)
            or (zeros is None) != (zero is None)
        ):
            return None
        blocks = k // block_size
        elements = unpack_bits(codes.astype(np.uint8).reshape(n, -1), bits, k)
        if zeros is not None and zero is not None:
            if str(element_of(zeros.type)) != "ui8":
                return None
            zero = unpack_bits(zero.astype(np.uint8).reshape(n, -1), bits, blocks)
        return self._parameter(b, scales, elements, factors.reshape(n, blocks), zero, bits, block_size, signed=False)

    def rows(
        self, data: SSAValue, scales: SSAValue, zeros: SSAValue | None, *, bits: int, block_size: int
    ) -> SSAValue | None:
        """The table of com.microsoft.GatherBlockQuantized with blocks along its rows."""
        codes, factors, zero = self._array(data), self._array(scales), self._array(zeros)
        if (
            codes is None
            or factors is None
            or str(element_of(data.type)) != "ui8"
            or codes.ndim != 2
            or bits not in (2, 4, 8)
        ):
            return None
        rows, length = len(codes), codes.shape[1] * 8 // bits
        if length % block_size:
            return None
        elements = unpack_bits(codes.astype(np.uint8), bits, length)
        zero = None if zero is None else unpack_bits(zero.astype(np.uint8), bits, length // block_size)
        return self._parameter(data, scales, elements, factors.reshape(rows, -1), zero, bits, block_size, signed=False)

    def dequantized(
        self, x: SSAValue, scale: SSAValue, zeros: SSAValue | None, axis: int, block_size: int
    ) -> tuple[SSAValue | None, bool]:
        """The matrix of a DequantizeLinear, scaled along its rows, and whether those are the columns of the graph."""
        elements, factors, zero = self._array(x), self._array(scale), self._array(zeros)
        name = _INTEGERS.get(str(element_of(x.type)))
        if elements is None or factors is None or elements.ndim != 2 or name is None:
            return None, False
        # Scales of rows, or in blocks along them; what is scaled along the other axis is turned.
        turned = bool(block_size) == (axis % 2 == 0) and factors.size > 1
        if turned:
            elements, factors = elements.T, factors.T
            zero = None if zero is None else zero.T
        if factors.size == 1:
            factors = np.broadcast_to(factors.reshape(1, 1), (len(elements), 1))
            zero = None if zero is None else np.broadcast_to(zero.reshape(1, 1), (len(elements), 1))
        factors = factors.reshape(len(elements), -1)
        if block_size and elements.shape[1] % block_size:
            return None, False
        zero = None if zero is None else zero.astype(np.int64).reshape(factors.shape)
        bits, signed = 4 if name.endswith("4") else 8, not name.startswith("u")
        zero = np.zeros_like(factors, np.int64) if zero is None and not signed else zero
        made = self._parameter(
            x, scale, elements.astype(np.int64), factors, zero, bits, block_size or None, signed=signed
        )
        return made, turned

    def _parameter(
        self,
        stored: SSAValue,
        scales: SSAValue,
        elements: Array,
        factors: Array,
        zero: Array | None,
        bits: int,
        block: int | None,
        *,
        signed: bool,
    ) -> SSAValue | None:
        """The parameter ``(elements − zero) · factors``; of unsigned elements a missing zero is their middle."""
        key = stored, scales
        if key in self._made:
            return self._made[key]
        middle, elements = 1 << (bits - 1), elements.astype(np.int64)
        if not signed and (zero is None or np.all(zero == middle)):
            elements, zero, signed = elements - middle, None, True
        if signed and zero is not None and not np.any(zero):
            zero = None
        element = number_format(f"{'' if signed else 'u'}int{bits}")
        scale = plain(_FLOATS[str(element_of(scales.type))])
        encoding = Encoding(element, scale, block=block, zero_point=None if zero is None else plain(element.name))
        kind = np.int8 if signed else np.uint8
        companions = {"scale": Encoded(scale, np.ascontiguousarray(factors, np.float32))}
        if zero is not None:
            companions["zero"] = Encoded(plain(element.name), np.ascontiguousarray(zero.astype(kind)))
        encoded = Encoded(encoding, np.ascontiguousarray(elements.astype(kind)), companions)
        own = stored.owner.parameter.string_value() if isinstance(stored.owner, GetOp) else f"weight.{len(self._made)}"
        name = f"{own}.dequantized"
        shape = tuple(elements.shape)
        self.tensors[name] = StoredTensor(name, shape, str(encoding), pack(encoded))
        parameter = ParameterOp(name, with_encoding(TensorType(f32, shape), encoding), name)
        self._module.body.block.insert_op_before(parameter, self._module.body.block.first_op)  # type: ignore[arg-type]
        self._made[key] = self._builder.insert(GetOp(parameter)).result
        return self._made[key]

    def _array(self, value: SSAValue | None) -> Array | None:
        """The values of a parameter or a constant; None for anything else."""
        if value is None:
            return None
        owner = value.owner
        type = cast("TensorType[Any]", value.type)
        if isinstance(owner, ConstantOp) and not owner.of_bits:
            dtype = np.float32 if str(type.element_type) in _FLOATS else np.int64
            return np.array(owner.value.get_values(), dtype).reshape(type.get_shape())
        if not isinstance(owner, GetOp):
            return None
        (tensor,) = self._program.tensors(owner.parameter.string_value(), None)
        return unpack(tensor.format, tensor.payload, tensor.shape).elements
