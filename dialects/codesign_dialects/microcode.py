"""The microcode dialect: the static program of a chip's scheduler, over typed regions of its memories.

A region is a ``memref`` whose memory space names the memory; strides are those of its type. Each instruction runs on
one unit, in order; it first waits until the units named by ``wait`` are idle. Tiling is the regions' shape:
``memref<3x2x32x32xi8, "weights">`` is 3 row tiles of 2 slices of 32 lanes by 32 inputs.
"""

from collections.abc import Sequence
from math import isfinite
from typing import TypeAlias

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    i64,
)
from xdsl.ir import Attribute, Dialect, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.traits import HasParent, IsTerminator, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

MemRef: TypeAlias = MemRefType[Attribute]

MEMORY = "memory"
"""The memory space of off-chip memory; every other names an SRAM of the core."""

PARTS = ("weight", "weight_scale", "input", "input_scale", "result")
"""What a region of off-chip memory holds of a linear operation."""

VECTOR_BINARY = ("add", "subtract", "multiply", "divide", "maximum")
"""Functions of the vector unit that take two operands, value by value."""

VECTOR_REDUCTIONS = ("reduce_sum", "reduce_maximum")
"""Functions of the vector unit that make one value of a row."""

VECTOR_FUNCTIONS = (*VECTOR_BINARY, "exp", "square_root", "reciprocal", *VECTOR_REDUCTIONS)
"""The functions of the vector unit; the order numbers them."""


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A program: regions, then instructions, ended by a halt."""

    name = "microcode.program"

    sym_name = prop_def(SymbolNameConstraint())
    body = region_def("single_block")

    traits = traits_def(SymbolOpInterface(), NoTerminator())
    assembly_format = "$sym_name $body attr-dict"

    def __init__(self, name: str, body: Region):
        super().__init__(properties={"sym_name": StringAttr(name)}, regions=[body])

    @property
    def instructions(self) -> "list[Instruction]":
        """The instructions in order."""
        return [op for op in self.body.ops if isinstance(op, Instruction)]

    @property
    def regions_in_memory(self) -> "list[RegionOp]":
        """The regions of off-chip memory."""
        return [op for op in self.body.ops if isinstance(op, RegionOp) and op.memory == MEMORY]

    def verify_(self) -> None:
        for op in self.body.ops:
            if not isinstance(op, RegionOp | Instruction):
                raise VerifyException(f"{self.name} holds regions and instructions, not {op.name}")
        if not isinstance(self.body.block.last_op, HaltOp):
            raise VerifyException(f"{self.name} @{self.sym_name.data} must end with microcode.halt")


@irdl_op_definition
class RegionOp(IRDLOperation):
    """A region `offset` bytes into a memory, ``microcode.region 4096 : memref<8x2x32xi8, "activations">``.

    A region of off-chip memory may say what it ``holds``: a part of a linear operation, for output rows and tokens
    from the given ones on.
    """

    name = "microcode.region"

    offset = prop_def(IntegerAttr.constr(i64))
    linear = opt_prop_def(FlatSymbolRefAttrConstr)
    part = opt_prop_def(StringAttr)
    first_row = opt_prop_def(IntegerAttr.constr(i64))
    first_token = opt_prop_def(IntegerAttr.constr(i64))
    result = result_def(MemRef)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$offset (`holds` $part^ `of` $linear `rows` $first_row `tokens` $first_token)? attr-dict `:` type($result)"
    )

    def __init__(
        self,
        offset: int,
        type: MemRef,
        *,
        linear: str | None = None,
        part: str | None = None,
        first_row: int = 0,
        first_token: int = 0,
    ):
        holds = linear is not None
        super().__init__(
            properties={
                "offset": IntegerAttr(offset, i64),
                "linear": SymbolRefAttr(linear) if linear is not None else None,
                "part": StringAttr(part) if part is not None else None,
                "first_row": IntegerAttr(first_row, i64) if holds else None,
                "first_token": IntegerAttr(first_token, i64) if holds else None,
            },
            result_types=[type],
        )

    @property
    def memory(self) -> str:
        """The memory that the region lies in."""
        space = self.result.type.memory_space
        return space.data if isinstance(space, StringAttr) else ""

    @property
    def nbytes(self) -> int:
        """Bytes of the region."""
        return nbytes(self.result.type)

    def verify_(self) -> None:
        if not self.memory:
            raise VerifyException(
                f'{self.name}: the type must name its memory, memref<4xi8, "weights">; got {self.result.type}'
            )
        if self.offset.value.data < 0 or any(extent < 1 for extent in self.result.type.get_shape()):
            raise VerifyException(f"{self.name}: a region has an offset of 0 or more and a static, positive shape")
        if self.result.type.element_type not in (IntegerType(8), Float32Type()):
            raise VerifyException(f"{self.name}: a region holds i8 or f32, got {self.result.type.element_type}")
        held = (self.part, self.linear, self.first_row, self.first_token)
        if any(given is None for given in held) and any(given is not None for given in held):
            raise VerifyException(f"{self.name}: part, linear, first_row and first_token stand together or not at all")
        if self.part is not None and self.part.data not in PARTS:
            raise VerifyException(f"{self.name}: holds one of {', '.join(PARTS)}; got '{self.part.data}'")


def nbytes(type: MemRef) -> int:
    """Bytes of a contiguous region of `type`."""
    return type.element_count() * (1 if type.element_type == IntegerType(8) else 4)


def region_of(value: SSAValue) -> RegionOp:
    """The region that an instruction's operand is."""
    owner = value.owner
    if not isinstance(owner, RegionOp):
        raise VerifyException("an operand of a microcode instruction must be a microcode.region")
    return owner


class Instruction(IRDLOperation):
    """What every instruction shares: the units it waits for."""

    wait = opt_prop_def(ArrayAttr[StringAttr])

    @property
    def waits(self) -> tuple[str, ...]:
        """Names of the kinds of unit that must be idle first."""
        return () if self.wait is None else tuple(unit.data for unit in self.wait)


def _wait(units: Sequence[str]) -> ArrayAttr[StringAttr] | None:
    return ArrayAttr(StringAttr(unit) for unit in units) if units else None


@irdl_op_definition
class CopyOp(Instruction):
    """Copy a region between off-chip memory and an SRAM, as bytes."""

    name = "microcode.copy"

    source = operand_def(MemRef)
    destination = operand_def(MemRef)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = "$source `to` $destination (`wait` $wait^)? attr-dict `:` type($source) `to` type($destination)"

    def __init__(self, source: SSAValue, destination: SSAValue, wait: Sequence[str] = ()):
        super().__init__(operands=[source, destination], properties={"wait": _wait(wait)})

    def verify_(self) -> None:
        source, destination = region_of(self.source), region_of(self.destination)
        if (source.memory == MEMORY) == (destination.memory == MEMORY):
            raise VerifyException(f"{self.name}: one side is off-chip memory, the other an SRAM")
        if source.nbytes != destination.nbytes:
            raise VerifyException(
                f"{self.name}: both sides must have the same size, got {source.nbytes} and {destination.nbytes} bytes"
            )


@irdl_op_definition
class MatmulOp(Instruction):
    """Dequantized products of int8 activations ``[tokens, slices, width]`` and weights ``[row tiles, slices, lanes,
    width]``.

    Writes float32 ``[tokens, row tiles · lanes]``: ``(float(sum) · weight scale) · activation scale``.
    """

    name = "microcode.matmul"

    activations = operand_def(MemRef)
    activation_scales = operand_def(MemRef)
    weights = operand_def(MemRef)
    weight_scales = operand_def(MemRef)
    outputs = operand_def(MemRef)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$activations `scaled` $activation_scales `,` $weights `scaled` $weight_scales `into` $outputs "
        "(`wait` $wait^)? attr-dict `:` type(operands)"
    )

    def __init__(
        self,
        activations: SSAValue,
        activation_scales: SSAValue,
        weights: SSAValue,
        weight_scales: SSAValue,
        outputs: SSAValue,
        wait: Sequence[str] = (),
    ):
        super().__init__(
            operands=[activations, activation_scales, weights, weight_scales, outputs],
            properties={"wait": _wait(wait)},
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tokens, row tiles and slices."""
        row_tiles, slices, _, _ = _shape(self.weights)
        return _shape(self.activations)[0], row_tiles, slices

    def verify_(self) -> None:
        weights, activations = _shape(self.weights), _shape(self.activations)
        if len(weights) != 4 or len(activations) != 3:
            raise VerifyException(
                f"{self.name}: weights are [row tiles, slices, lanes, width] and activations [tokens, slices, width], "
                f"got {list(weights)} and {list(activations)}"
            )
        row_tiles, slices, lanes, width = weights
        tokens = activations[0]
        wanted = {
            "activations": (tokens, slices, width),
            "activation_scales": (tokens,),
            "weight_scales": (row_tiles * lanes,),
            "outputs": (tokens, row_tiles * lanes),
        }
        for name, shape in wanted.items():
            if _shape(getattr(self, name)) != shape:
                raise VerifyException(
                    f"{self.name}: {name} must have shape {list(shape)}, got {list(_shape(getattr(self, name)))}"
                )
        for name, kind in (
            ("activations", IntegerType(8)),
            ("weights", IntegerType(8)),
            ("activation_scales", Float32Type()),
            ("weight_scales", Float32Type()),
            ("outputs", Float32Type()),
        ):
            value: SSAValue = getattr(self, name)
            if _type(value).element_type != kind:
                raise VerifyException(f"{self.name}: {name} must hold {kind}, got {_type(value).element_type}")
            if region_of(value).memory == MEMORY:
                raise VerifyException(f"{self.name}: {name} must lie in an SRAM, not in off-chip memory")


def _type(value: SSAValue) -> MemRef:
    assert isa(value.type, MemRef)
    return value.type


def _shape(value: SSAValue) -> tuple[int, ...]:
    return _type(value).get_shape()


@irdl_op_definition
class VectorOp(Instruction):
    """A function over rows of float32, ``[rows, length]``, in the SRAM of the vector unit.

    A function of two operands takes the second from a region of that shape, from ``[rows, 1]``, one value a row, or
    from an immediate. A reduction writes ``[rows, 1]``. Rows may be apart:
    ``memref<2x5xf32, strided<[8, 1]>, "vector">``.
    """

    name = "microcode.vector"

    function = prop_def(StringAttr)
    source = operand_def(MemRef)
    operand = opt_operand_def(MemRef)
    immediate = opt_prop_def(FloatAttr[Float32Type])
    destination = operand_def(MemRef)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = (
        "$function $source (`with` $operand^)? (`immediate` $immediate^)? `into` $destination "
        "(`wait` $wait^)? attr-dict `:` type(operands)"
    )

    def __init__(
        self,
        function: str,
        source: SSAValue,
        destination: SSAValue,
        *,
        operand: SSAValue | None = None,
        immediate: float | None = None,
        wait: Sequence[str] = (),
    ):
        super().__init__(
            operands=[source, operand, destination],
            properties={
                "function": StringAttr(function),
                "immediate": FloatAttr(immediate, Float32Type()) if immediate is not None else None,
                "wait": _wait(wait),
            },
        )

    def verify_(self) -> None:
        function, shape = self.function.data, _shape(self.source)
        if function not in VECTOR_FUNCTIONS:
            raise VerifyException(f"{self.name}: a function is one of {', '.join(VECTOR_FUNCTIONS)}; got '{function}'")
        if len(shape) != 2:
            raise VerifyException(f"{self.name}: the source is [rows, length], got {list(shape)}")
        seconds = (self.operand is not None) + (self.immediate is not None)
        if seconds != (function in VECTOR_BINARY):
            wanted = "a second operand or an immediate" if function in VECTOR_BINARY else "one operand"
            raise VerifyException(f"{self.name}: {function} takes {wanted}")
        if self.immediate is not None and not isfinite(self.immediate.value.data):
            raise VerifyException(f"{self.name}: an immediate is finite, got {self.immediate.value.data}")
        if self.operand is not None and _shape(self.operand) not in (shape, (shape[0], 1)):
            raise VerifyException(
                f"{self.name}: the second operand must have shape {list(shape)} or {[shape[0], 1]}, "
                f"got {list(_shape(self.operand))}"
            )
        result = (shape[0], 1) if function in VECTOR_REDUCTIONS else shape
        if _shape(self.destination) != result:
            raise VerifyException(
                f"{self.name}: the destination of {function} must have shape {list(result)}, "
                f"got {list(_shape(self.destination))}"
            )
        for value in self.operands:
            _verify_rows(self.name, value)


@irdl_op_definition
class QuantizeOp(Instruction):
    """Quantize rows of float32, ``[rows, length]``, to the matmul unit's activations, ``[rows, slices, width]`` int8,
    zeros behind the end of a row, with one float32 scale a row."""

    name = "microcode.quantize"

    source = operand_def(MemRef)
    activations = operand_def(MemRef)
    scales = operand_def(MemRef)

    traits = traits_def(HasParent(ProgramOp))
    assembly_format = "$source `into` $activations `scaled` $scales (`wait` $wait^)? attr-dict `:` type(operands)"

    def __init__(self, source: SSAValue, activations: SSAValue, scales: SSAValue, wait: Sequence[str] = ()):
        super().__init__(operands=[source, activations, scales], properties={"wait": _wait(wait)})

    def verify_(self) -> None:
        source, activations, scales = _shape(self.source), _shape(self.activations), _shape(self.scales)
        if len(source) != 2 or len(activations) != 3:
            raise VerifyException(
                f"{self.name}: the source is [rows, length] and the activations are [rows, slices, width], "
                f"got {list(source)} and {list(activations)}"
            )
        (rows, length), width = source, activations[2]
        wanted = (rows, -(-length // width), width)
        if activations != wanted or scales != (rows,):
            raise VerifyException(
                f"{self.name}: activations and scales must have shapes {list(wanted)} and {[rows]}, "
                f"got {list(activations)} and {list(scales)}"
            )
        _verify_rows(self.name, self.source)
        for name, value, kind in (
            ("activations", self.activations, IntegerType(8)),
            ("scales", self.scales, Float32Type()),
        ):
            if _type(value).element_type != kind:
                raise VerifyException(f"{self.name}: {name} must hold {kind}, got {_type(value).element_type}")
            if region_of(value).memory == MEMORY:
                raise VerifyException(f"{self.name}: {name} must lie in an SRAM, not in off-chip memory")


def _verify_rows(name: str, value: SSAValue) -> None:
    """Rows of the vector SRAM: float32, their values side by side."""
    region = region_of(value)
    if region.memory != "vector" or _type(value).element_type != Float32Type():
        raise VerifyException(f'{name}: works on f32 in the SRAM "vector", got {value.type}')
    strides = _type(value).get_strides()
    if strides is None or strides[0] is None or strides[0] < 0 or strides[1] != 1:
        raise VerifyException(
            f"{name}: the values of a row lie side by side, and rows at a static stride; got {value.type}"
        )


@irdl_op_definition
class HaltOp(Instruction):
    """End the program."""

    name = "microcode.halt"

    traits = traits_def(IsTerminator(), HasParent(ProgramOp))
    assembly_format = "(`wait` $wait^)? attr-dict"

    def __init__(self, wait: Sequence[str] = ()):
        super().__init__(properties={"wait": _wait(wait)})


OPERATIONS: list[type[Operation]] = [ProgramOp, RegionOp, CopyOp, MatmulOp, VectorOp, QuantizeOp, HaltOp]
Microcode = Dialect("microcode", OPERATIONS)
