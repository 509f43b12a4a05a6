"""Tensors whose bytes are laid out only when they are asked for."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.block_formats import pack, stored_nbytes
from codesign.numerics.encoded import Encoded
from codesign.weights.stored import StoredTensor
from codesign_dialects.encoding import Encoding


class RepackedTensor(StoredTensor):
    """A tensor made of others, its `sources`: its payload is packed by `pack` at each reading, so that nothing is held
    twice. It stands in the file of the first."""

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        format: str,
        sources: Sequence[StoredTensor],
        pack: Callable[[], NDArray[np.uint8]],
    ):
        mapping = sources[0].mapping if sources else None
        fields = {"name": name, "shape": shape, "format": format, "mapping": mapping}
        for field, value in {**fields, "_sources": sources, "_pack": pack}.items():
            object.__setattr__(self, field, value)

    @classmethod
    def encoded(
        cls,
        name: str,
        shape: tuple[int, ...],
        encoding: Encoding,
        sources: Sequence[StoredTensor],
        make: Callable[[], Encoded],
    ) -> "RepackedTensor":
        """A tensor that stores what `make` gives, on the grid of `encoding`."""
        return cls(name, shape, str(encoding), sources, lambda: pack(make()))

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
        """Give back the pages of the tensors that this is made of."""
        sources: Sequence[StoredTensor] = object.__getattribute__(self, "_sources")
        for source in sources:
            source.release()
