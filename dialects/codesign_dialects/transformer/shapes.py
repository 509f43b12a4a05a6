"""Types of values, as the verifiers ask for them."""

from collections.abc import Sequence
from typing import TypeAlias, cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from codesign_dialects.encoding import Encoding
from codesign_dialects.formats import EncodingAttr, encoding_of

Tensor: TypeAlias = TensorType[Attribute]


def tensor_of(value: SSAValue) -> Tensor:
    """The type of a value that is a tensor."""
    # A plain class test: `isa` looks into the type's parameters, which is slow and verified elsewhere.
    assert isinstance(value.type, TensorType), f"expected a tensor, got {value.type}"
    return cast(Tensor, value.type)


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The shape of a value that is a tensor."""
    return tensor_of(value).get_shape()


def features(value: SSAValue) -> int:
    """The extent of the last axis of a tensor."""
    return shape_of(value)[-1]


def with_features(type: Tensor, extent: int) -> Tensor:
    """The unencoded tensor type with the last axis of `type` replaced by `extent`."""
    return TensorType(type.element_type, (*type.get_shape()[:-1], extent))


def with_tokens(type: Tensor, most: int) -> Tensor:
    """The tensor type ``[batch, tokens, features]`` of `most` of the tokens of `type`, or of all where these are
    fewer."""
    batch, tokens, *rest = type.get_shape()
    tokens = tokens if tokens == DYNAMIC_INDEX else min(tokens, most)
    return TensorType(type.element_type, (batch, tokens, *rest), type.encoding)


def with_encoding(type: Tensor, encoding: Encoding | None) -> Tensor:
    """The tensor type `type`, stored as `encoding` says, or as plain float32 when None."""
    return TensorType(type.element_type, type.get_shape(), *([] if encoding is None else [EncodingAttr(encoding)]))


def written(shape: Sequence[int]) -> str:
    """A shape as messages show it, ``[?, ?, 8]``."""
    return f"[{', '.join('?' if extent == DYNAMIC_INDEX else str(extent) for extent in shape)}]"


def verify_activation(op: Operation, name: str, value: SSAValue, extent: int | None = None) -> None:
    """Verify that `value` is ``[batch, tokens, features]``, with `extent` features when given."""
    shape = shape_of(value)
    if len(shape) != 3:
        raise VerifyException(f"{op.name}: {name} must be [batch, tokens, features], got {value.type}")
    if shape[2] == DYNAMIC_INDEX:
        raise VerifyException(f"{op.name}: the features of {name} must be static, got {value.type}")
    if extent is not None and shape[2] != extent:
        raise VerifyException(f"{op.name}: {name} must have {extent} features, got {shape[2]}")


def verify_shape(op: Operation, name: str, value: SSAValue, shape: tuple[int, ...]) -> None:
    """Verify the exact shape of `value`."""
    if shape_of(value) != shape:
        raise VerifyException(f"{op.name}: {name} must have shape {written(shape)}, got {written(shape_of(value))}")


def verify_per_sequence(op: Operation, name: str, value: SSAValue) -> None:
    """Verify that `value` holds one integer for each sequence."""
    if len(shape_of(value)) != 1:
        raise VerifyException(f"{op.name}: {name} holds one integer a sequence, tensor<?xi32>; got {value.type}")


def is_integer_product(input: SSAValue, weight: SSAValue) -> bool:
    """Whether both sides of a product store integers, so that its sums are exact."""
    return all(encoding_of(operand.type).element.kind != "float" for operand in (input, weight))


def verify_accumulator(op: Operation, input: SSAValue, weight: SSAValue) -> None:
    """Verify that the sums of an integer product ``[…, in]`` by ``[…, in]`` fit int32."""
    if not is_integer_product(input, weight):
        return
    largest = 1
    for operand in (input, weight):
        element = encoding_of(operand.type).element
        largest *= 2 ** (element.bits - 1) if element.kind == "int" else 2**element.bits
    if features(weight) * largest >= 2**31:
        raise VerifyException(
            f"{op.name}: a sum of {features(weight)} products up to {largest} could overflow the int32 accumulator; "
            f"at most {(2**31 - 1) // largest} fit"
        )
