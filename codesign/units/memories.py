"""The memories of a chip while its microcode is executed."""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign.units.machine import Machine

Bytes = NDArray[np.uint8]

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Memories:
    """Off-chip memory and SRAMs by role, as bytes, and the token memory, ids by position.

    ``winner`` is what the argmax unit keeps from a command to the next: order and index of the largest value so far.
    """

    machine: Machine
    off_chip: Bytes
    srams: dict[str, Bytes]
    tokens: NDArray[np.uint32]
    winner: NDArray[np.int64]

    @classmethod
    def of(cls, machine: Machine, off_chip: Bytes) -> Self:
        """The memories of `machine` at the start: off-chip memory a copy of `off_chip`, SRAMs with zeros."""
        srams = {role: np.zeros(sram.nbytes, np.uint8) for role, sram in machine.srams.items()}
        return cls(machine, off_chip.copy(), srams, np.zeros(machine.context, np.uint32), np.zeros(2, np.int64))

    def words(self, role: str, dtype: type[_Scalar]) -> NDArray[_Scalar]:
        """An SRAM as ``[words, values of a word]`` of `dtype`; a view."""
        return self.srams[role].view(dtype).reshape(self.machine.srams[role].depth, -1)
