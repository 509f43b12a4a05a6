"""Programs of known shape, and the chips of the library, for the cost model's tests."""

from collections.abc import Callable

import pytest

from codesign.chips import LIBRARY, Chip, read_chip
from codesign.frontends.decoder import Decoder, build
from codesign.frontends.families.llama import LLAMA
from codesign.program import Program, describe
from codesign_cost.storage import stored_as
from codesign_dialects.encoding import plain

SHAPES = {
    "tiny": Decoder(96, 64, 3, 4, 2, 16, 160, 512, 1e-5, 1e4, tied=True),
    "smaller": Decoder(96, 32, 2, 2, 1, 16, 80, 512, 1e-5, 1e4, tied=True),
    "llama-2-7b": Decoder(32000, 4096, 32, 32, 32, 128, 11008, 4096, 1e-5, 1e4),
    "llama-2-70b": Decoder(32000, 8192, 80, 64, 8, 128, 28672, 4096, 1e-5, 1e4),
    "llama-3.1-8b": Decoder(128256, 4096, 32, 32, 8, 128, 14336, 131072, 1e-5, 5e5),
}


def _build_program(shape: str | Decoder, weights: str = "float32", kv: str = "float32") -> Program:
    """A decoder whose matrices are stored as `weights` and whose cache as `kv`, without its values."""
    decoder = SHAPES[shape] if isinstance(shape, str) else shape
    module = build(decoder, LLAMA.names, None)
    describe(module, name=shape if isinstance(shape, str) else "decoder", source=None, stop_tokens=())
    return stored_as(Program(module), plain(weights), plain(kv))


@pytest.fixture(scope="session")
def build_program() -> Callable[..., Program]:
    """The builder of programs: ``build_program("tiny", weights="int8", kv="float32")``."""
    return _build_program


@pytest.fixture(scope="session")
def shapes() -> dict[str, Decoder]:
    """The shapes by name."""
    return SHAPES


@pytest.fixture(scope="session")
def chips() -> dict[str, Chip]:
    """The chips of the library by name."""
    return {name: read_chip(path) for name, path in LIBRARY.items()}
