"""What readers of quantized checkpoints share: the tensors of a module, codes in int32 words, what has one scale."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.packing import unpack_bits
from codesign.weights.stored import StoredTensor, WeightsError

Codes = NDArray[np.unsignedinteger]
FLOATS = ("float32", "float16", "bfloat16")
"""What scales are stored in."""

_Scalar = TypeVar("_Scalar", bound=np.generic)


def modules(tensors: Mapping[str, StoredTensor], part: str) -> Iterator[tuple[str, Mapping[str, StoredTensor]]]:
    """The modules that have a tensor ``module.part``: their names, and all of their own tensors by the last name."""
    owned: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        module, _, last = name.rpartition(".")
        owned.setdefault(module, {})[last] = tensor
    return ((module, parts) for module, parts in owned.items() if part in parts)


def check(
    where: str, name: str, tensor: StoredTensor | None, formats: tuple[str, ...], shape: tuple[int | None, ...]
) -> StoredTensor:
    """`tensor`, which is called `name`, in one of `formats` and of `shape`; an extent of None may be any.

    Raises
    ------
    WeightsError
        When it is missing or otherwise.
    """
    wanted = f"{' or '.join(formats)} [{', '.join(str(extent or 'any') for extent in shape)}]"
    if tensor is None:
        raise WeightsError(f"{where}: the weights hold no tensor {name!r}; expected {wanted}")
    known = len(tensor.shape) == len(shape) and all(
        extent in (None, found) for extent, found in zip(shape, tensor.shape, strict=True)
    )
    if tensor.format not in formats or not known:
        raise WeightsError(f"{where}: {name!r} is {tensor.format} {list(tensor.shape)}; expected {wanted}")
    return tensor


def words(tensor: StoredTensor) -> NDArray[np.int32]:
    """The words of an int32 tensor, of its shape."""
    return tensor.payload.view("<i4").reshape(tensor.shape)


def codes(packed: NDArray[np.int32], bits: int, count: int) -> Codes:
    """The first `count` codes of each row of words ``[rows, ⌈count · bits / 32⌉]``, from the lowest bits up, without a
    gap between words."""
    rows = np.ascontiguousarray(packed).view(np.uint8)
    return unpack_bits(rows[:, : ceil(count * bits / 8)], bits, count)


@dataclass(frozen=True)
class Sharing:
    """What of a weight ``[out, in]`` shares a scale: all of it, or blocks of `rows` outputs and `block` inputs, None
    for all inputs."""

    per_tensor: bool
    rows: int
    block: int | None

    @classmethod
    def of(
        cls, where: str, name: str, shape: tuple[int, ...], scale: StoredTensor, block_size: object = None
    ) -> "Sharing":
        """How `scale` is laid over the weight `name` of `shape`: one for all, one a row, one a group of a row's inputs,
        or one for each block of `block_size` outputs and inputs.

        Raises
        ------
        WeightsError
            When it is none of these.
        """
        outputs, inputs = shape if len(shape) == 2 else (0, 0)
        if scale.shape in ((), (1,), (1, 1)) and block_size is None:
            return cls(True, 1, None)
        rows, block = 1, 0
        sizes = cast(list[object], block_size) if isinstance(block_size, list) else []
        if len(sizes) == 2 and isinstance(sizes[0], int) and isinstance(sizes[1], int):
            rows, block = sizes[0], sizes[1]
        elif len(scale.shape) == 2 and scale.shape[1]:
            block = inputs // scale.shape[1]
        elif scale.shape == (outputs,):
            block = inputs
        groups = inputs // block if block > 0 else 0
        fits = rows > 0 and groups * block == inputs and inputs
        wanted = (ceil(outputs / rows), groups) if fits else ()
        if not fits or scale.shape not in (wanted, wanted[:1] if groups == 1 else wanted):
            raise WeightsError(
                f"{where}: {name!r} {list(shape)} has scales {list(scale.shape)}: expected one for all, "
                "one a row, one a group of a row's inputs, or one for each block of whole groups of inputs"
                + (f" of {str(sizes)[:40]}" if sizes else "")
            )
        return cls(False, rows, None if groups == 1 else block)

    def spread(self, values: NDArray[_Scalar], outputs: int) -> NDArray[_Scalar]:
        """What each block has, for each of its rows: ``[outputs, groups]``, or one number for all."""
        if self.per_tensor:
            return values.reshape(())
        return np.repeat(values.reshape(len(values), -1), self.rows, axis=0)[:outputs]
