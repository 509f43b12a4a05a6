"""Chips of many shapes, made from the library's edge chip, each large enough for the models that the tests emit."""

from dataclasses import dataclass

from codesign import api
from codesign.chips import Chip


@dataclass(frozen=True)
class Shape:
    """What sets a chip's shape: its matmul unit, its vector lanes, its memory port."""

    lanes: int
    width: int
    results: int
    vector: int
    port: int
    channels: int = 1
    tokens: int = 4
    weights: str = "64 KiB"
    scales: str = "row"

    def __str__(self) -> str:
        return f"{self.lanes}x{self.width}, port {self.port}, scales of {self.scales}s"

    def chip(self) -> Chip:
        """The chip."""
        vector, word = 4 * self.vector, self.lanes * self.width
        return api.load_chip("edge").evolve(
            mxu={
                "lanes": self.lanes,
                "width": self.width,
                "results": self.results,
                "tokens": self.tokens,
                "scales": self.scales,
            },
            vpu={"lanes": self.vector},
            quant={"lanes": self.vector},
            dma={"width": self.port},
            dram={
                "capacity": "64 MiB",
                "channels": self.channels,
                "bandwidth": f"{self.port} GB/s",
                "latency": "20 ns",
                "refresh_interval": "390 ns",
                "refresh_time": "28 ns",
            },
            weights={"capacity": self.weights, "width": word, "banks": self.lanes},
            weight_scales={"capacity": "16 KiB", "width": 4 * self.results},
            constants={"capacity": "64 KiB", "width": vector},
            activations={"capacity": "16 KiB", "width": self.width},
            kv={"capacity": "128 KiB", "width": word, "banks": self.lanes},
            key_scales={"capacity": "16 KiB", "width": 4 * self.results},
            value_scales={"capacity": "16 KiB", "width": vector},
            results={"capacity": "64 KiB", "width": 4 * self.results},
            vector={"capacity": "64 KiB", "width": vector},
            control={"microcode": 1024, "context": 32},
        )


NARROW = Shape(lanes=8, width=8, results=2, vector=4, port=8, weights="8 KiB")
"""Weights streamed over a narrow port."""

WIDE = Shape(lanes=16, width=16, results=16, vector=8, port=64, channels=4)
"""Weights that stay on the chip, loaded over a wide port."""

BLOCKS = Shape(lanes=16, width=8, results=2, vector=4, port=16, weights="16 KiB", scales="block")
"""Blocks of weights with scales of their own, streamed."""

SHAPES = (
    NARROW,
    WIDE,
    Shape(lanes=32, width=16, results=4, vector=8, port=32, weights="16 KiB"),
    Shape(lanes=32, width=32, results=16, vector=16, port=128, channels=2, tokens=8, weights="32 KiB"),
    Shape(lanes=64, width=64, results=32, vector=16, port=64, channels=4, tokens=8, weights="128 KiB"),
    Shape(lanes=64, width=32, results=64, vector=32, port=1024, channels=8, tokens=2, weights="256 KiB"),
)
"""Shapes from 8×8 to 64×64, weights resident and streamed, ports narrow and wide."""
