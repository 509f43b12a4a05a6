"""Parameters as ONNX tensors: floats as they are stored, integers with scales behind a DequantizeLinear."""

from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from codesign.exporters.onnx.graph import Graph, Weight
from codesign.numerics.block_formats import encode
from codesign.numerics.packing import pack_bits
from codesign.numerics.quantization import is_integer, largest_magnitude
from codesign.parameters import Parameters
from codesign.program import Program
from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import encoding_of

_FLOATS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


class Weights:
    """The parameters of a program as values of an ONNX graph, each written once."""

    def __init__(self, program: Program, graph: Graph):
        self._program, self._graph = program, graph
        self._parameters = None if program.weights is None else Parameters(program)
        self._decoded: dict[Encoding, None] = {}

    @property
    def remarks(self) -> list[str]:
        """What is written otherwise than the program stores it."""
        if self._parameters is None:
            return [f"{self._program.name} has no weights: they are inputs of the graph"]
        return [f"weights stored as <{encoding}> are written as float32" for encoding in self._decoded]

    def get(self, name: str, layer: int | None) -> str:
        """The float32 value that the parameter `name`, or a layer's part of it, is in the graph."""
        return self._graph.once(("parameter", name, layer), lambda: self._value(name, layer))

    def _value(self, name: str, layer: int | None) -> str:
        own = name if layer is None else name.replace("layers.", f"layers.{layer}.", 1)
        parameter = self._program.parameters[name]
        shape = parameter.type.get_shape()[parameter.stacked :]
        encoding = encoding_of(parameter.type)
        text = str(encoding)
        if self._parameters is None:
            return self._add(Weight(own, TensorProto.FLOAT, shape, 0, lambda: np.empty(0, np.uint8)))
        if text in _FLOATS:
            stored = self._add(self._floats(own, name, layer, shape, text))
            return stored if text == "float32" else self._graph.node("Cast", stored, to=TensorProto.FLOAT)
        if is_integer(encoding) and len(shape) == 2:
            return self._dequantized(own, name, layer, shape, encoding)
        self._decoded[encoding] = None
        return self._add(self._floats(own, name, layer, shape, "float32"))

    def _add(self, weight: Weight) -> str:
        self._graph.weights[weight.name] = weight
        return weight.name

    def _floats(self, own: str, name: str, layer: int | None, shape: tuple[int, ...], format: str) -> Weight:
        parameters = self._parameters
        assert parameters is not None

        def pack() -> NDArray[np.uint8]:
            values = np.empty(shape, np.float32)
            parameters.read_into(name, layer, values)
            return encode(format, values)

        return Weight(own, _FLOATS[format], shape, prod(shape) * (4 if format == "float32" else 2), pack)

    def _dequantized(self, own: str, name: str, layer: int | None, shape: tuple[int, ...], encoding: Encoding) -> str:
        parameters, bits = self._parameters, 4 if largest_magnitude(encoding) <= 8 else 8
        assert parameters is not None
        scales = encoding.scales(shape)
        scales = scales if encoding.block else shape[:1]

        def elements() -> NDArray[np.uint8]:
            integers = parameters.quantized(name, layer).integers.astype(np.int8).reshape(-1)
            if bits == 8:
                return integers.view(np.uint8)
            # Two to a byte, the first in the low half (https://onnx.ai/onnx/technical/int4.html).
            return pack_bits(integers.view(np.uint8)[None] & np.uint8(15), 4)[0]

        def factors() -> NDArray[np.uint8]:
            values = np.ascontiguousarray(parameters.quantized(name, layer).scales, np.float32)
            return values.reshape(-1).view(np.uint8)

        count = -(-prod(shape) * bits // 8)
        integers = self._add(Weight(own, TensorProto.INT4 if bits == 4 else TensorProto.INT8, shape, count, elements))
        scale = self._add(Weight(f"{own}.scale", TensorProto.FLOAT, scales, 4 * prod(scales), factors))
        if encoding.block is None:
            return self._graph.node("DequantizeLinear", integers, scale, axis=0)
        return self._graph.node("DequantizeLinear", integers, scale, axis=1, block_size=encoding.block)
