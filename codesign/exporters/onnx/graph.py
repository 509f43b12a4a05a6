"""The ONNX graph as it is written: nodes, constants, weights, and what the values of the IR are called in it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from xdsl.dialects.builtin import DYNAMIC_INDEX, IntegerType, TensorType
from xdsl.ir import SSAValue

from codesign_dialects.transformer.shapes import shape_of, tensor_of

Attribute: TypeAlias = int | float | str | Sequence[int]
Made = TypeVar("Made")
BATCH, TOKENS, PAST, TOTAL = "batch", "tokens", "past", "total"
"""Names of extents that are not fixed."""


@dataclass(frozen=True)
class Weight:
    """A tensor beside the graph: ONNX's number of its element type, its shape, its bytes when they are asked for."""

    name: str
    type: int
    shape: tuple[int, ...]
    nbytes: int
    pack: Callable[[], NDArray[np.uint8]]


@dataclass
class Graph:
    """What is written, in order; `names` are the names of the IR's values, `place` what those of nodes begin with."""

    nodes: list[NodeProto] = field(default_factory=list[NodeProto])
    weights: dict[str, Weight] = field(default_factory=dict[str, Weight])
    constants: dict[str, TensorProto] = field(default_factory=dict[str, TensorProto])
    infos: list[ValueInfoProto] = field(default_factory=list[ValueInfoProto])
    names: dict[SSAValue, str] = field(default_factory=dict[SSAValue, str])
    shared: dict[object, Any] = field(default_factory=dict[object, Any])
    place: str = ""
    _taken: dict[str, int] = field(default_factory=dict[str, int])

    @contextmanager
    def inside(self, place: str):
        """Let the names of what is added within begin with `place`."""
        outer, self.place = self.place, f"{place}/"
        yield
        self.place = outer

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """What `make` gave when it was first asked for under `key`: values that all layers share."""
        if key not in self.shared:
            outer, self.place = self.place, ""
            self.shared[key] = make()
            self.place = outer
        return self.shared[key]

    def named(self, hint: str) -> str:
        """A name that nothing has yet."""
        name = f"{self.place}{hint}"
        count = self._taken[name] = self._taken.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def node(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node of one result; return its name."""
        return self.node_of_many(operator, inputs, 1, attributes)[0]

    def node_of_many(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: int | Sequence[str],
        attributes: Mapping[str, Attribute],
        domain: str = "",
    ) -> list[str]:
        """Add a node; `outputs` are the names of its results, or how many they are."""
        name = self.named(operator)
        count = outputs if isinstance(outputs, int) else len(outputs)
        results = [name, *(f"{name}.{place}" for place in range(1, count))] if isinstance(outputs, int) else [*outputs]
        node = helper.make_node(operator, list(inputs), results, name, domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return results

    def constant(self, array: "NDArray[Any] | Sequence[int] | float") -> str:
        """A small constant: integers are int64, a number is float32."""
        values = np.asarray(array)
        values = values.astype(np.float32 if values.dtype.kind == "f" else values.dtype)
        key = f"{values.dtype}{list(values.shape)} {values.tolist()}"

        def make() -> str:
            name = self.named(f"constants/{len(self.constants)}")
            self.constants[name] = numpy_helper.from_array(values, name)
            return name

        return self.once(key, make)

    def value(self, value: SSAValue, name: str) -> None:
        """Let a value of the IR be the result `name`, and state its type."""
        self.names[value] = name
        if isinstance(value.type, TensorType) and not isinstance(tensor_of(value).element_type, IntegerType):
            shape = shape_of(value)
            extents: list[int | str] = [
                extent if extent != DYNAMIC_INDEX else (BATCH, TOKENS)[axis] for axis, extent in enumerate(shape)
            ]
            self.infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, extents))

    def externals(self, location: str) -> tuple[list[TensorProto], list[tuple[int, Weight]]]:
        """The weights as tensors whose bytes are in the file `location`, and where in it each begins."""
        tensors: list[TensorProto] = []
        placed: list[tuple[int, Weight]] = []
        end = 0
        for weight in self.weights.values():
            end += -end % ALIGNMENT
            tensor = TensorProto(name=weight.name, data_type=weight.type, dims=weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            entries: Mapping[str, object] = {"location": location, "offset": end, "length": weight.nbytes}
            for key, entry in entries.items():
                tensor.external_data.add(key=key, value=str(entry))
            tensors.append(tensor)
            placed.append((end, weight))
            end += weight.nbytes
        return tensors, placed


ALIGNMENT = 4096
"""Bytes that the offset of an external tensor is a multiple of, so that it can be mapped
(https://onnx.ai/onnx/repo-docs/ExternalData.html)."""
