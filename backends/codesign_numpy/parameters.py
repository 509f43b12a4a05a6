"""The parameters of a session, each layer's read once."""

import numpy as np
from numpy.typing import NDArray

from codesign import parameters
from codesign.program import Program
from codesign_numpy.arena import Arena

Floats = NDArray[np.float32]


class Parameters(parameters.Parameters):
    """The parameters of one program, in memory that is fast to read."""

    def __init__(self, program: Program):
        super().__init__(program)
        self._read: dict[tuple[str, int | None], Floats] = {}
        self.arena = Arena()

    def float32(self, name: str, layer: int | None) -> Floats:
        """The values of a parameter, in one array that all its uses share."""
        if (name, layer) not in self._read:
            values = self.arena.array(self.shape(name), np.float32)
            self.read_into(name, layer, values)
            self._read[name, layer] = values
        return self._read[name, layer]

    def is_mapped(self, name: str) -> bool:
        """Whether the values of a parameter that is not of a layer stand in its file as they are."""
        stored = self.program.tensors(name, None)
        return not self.is_quantized(name) and len(stored) == 1 and stored[0].format == "float32"

    def table(self, name: str) -> Floats:
        """A table of which few rows are read: a view of the file where that stores float32."""
        if not self.is_mapped(name):
            return self.float32(name, None)
        return self.program.tensors(name, None)[0].float32()
