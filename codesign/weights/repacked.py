"""Tensors of quantized checkpoints, whose bytes are laid out anew when they are asked for."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.block_formats import stored_nbytes
from codesign.weights.stored import StoredTensor


class RepackedTensor(StoredTensor):
    """A tensor made of a file's `source`: its payload is packed by `pack` at each reading, so that nothing is held
    twice."""

    def __init__(
        self,
        source: StoredTensor,
        shape: tuple[int, ...],
        format: str,
        pack: Callable[[], NDArray[np.uint8]],
    ):
        fields = {"name": source.name, "shape": shape, "format": format, "mapping": source.mapping}
        for name, value in {**fields, "_source": source, "_pack": pack}.items():
            object.__setattr__(self, name, value)

    @property
    def payload(self) -> NDArray[np.uint8]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The bytes in the layout of `format`."""
        pack: Callable[[], NDArray[np.uint8]] = object.__getattribute__(self, "_pack")
        return pack()

    @property
    def nbytes(self) -> int:
        """Bytes of the payload, which is not made for it."""
        return stored_nbytes(self.format, self.shape)

    def release(self) -> None:
        """Give back the pages of the tensor that this is made of."""
        source: StoredTensor = object.__getattribute__(self, "_source")
        source.release()
