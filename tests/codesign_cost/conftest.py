"""Programs of known shape, and the chips of the library, for the cost model's tests."""

from collections.abc import Callable, Iterator

import pytest
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.rewriter import Rewriter

from codesign.chips import LIBRARY, Chip, read_chip
from codesign.frontends.decoder import Decoder, build
from codesign.frontends.families.llama import LLAMA
from codesign.program import Program, describe
from codesign_dialects.encoding import Encoding, plain
from codesign_dialects.formats import EncodingAttr
from codesign_dialects.transformer import GetOp, KVCacheType, ParameterOp
from codesign_dialects.transformer.layers import with_encoding

SHAPES = {
    "tiny": Decoder(96, 64, 3, 4, 2, 16, 160, 512, 1e-5, 1e4, tied=True),
    "llama-2-7b": Decoder(32000, 4096, 32, 32, 32, 128, 11008, 4096, 1e-5, 1e4),
    "llama-2-70b": Decoder(32000, 8192, 80, 64, 8, 128, 28672, 4096, 1e-5, 1e4),
    "llama-3.1-8b": Decoder(128256, 4096, 32, 32, 8, 128, 14336, 131072, 1e-5, 5e5),
}


def _build_program(shape: str | Decoder, weights: str = "float32", kv: str = "float32") -> Program:
    """A decoder whose matrices are stored as `weights` and whose cache as `kv`, without its values."""
    decoder = SHAPES[shape] if isinstance(shape, str) else shape
    module = build(decoder, LLAMA.names, None)
    describe(module, name=shape if isinstance(shape, str) else "decoder", source=None, stop_tokens=())
    stored = plain(weights)
    for parameter in (op for op in module.ops if isinstance(op, ParameterOp)):
        if len(parameter.type.get_shape()) - parameter.stacked == 2:
            parameter.type = with_encoding(parameter.type, stored)
            for get in module.walk():
                if isinstance(get, GetOp) and get.parameter.string_value() == parameter.sym_name.data:
                    Rewriter.replace_value_with_new_type(get.result, with_encoding(get.result.type, stored))
    _store_cache(module.walk, plain(kv))
    module.verify()
    return Program(module)


def _store_cache(walk: Callable[[], Iterator[Operation]], encoding: Encoding) -> None:
    for op in walk():
        arguments = [argument for region in op.regions for block in region.blocks for argument in block.args]
        for value in (*op.results, *arguments):
            if isinstance(value.type, KVCacheType):
                type = KVCacheType(*list(value.type.parameters)[:5], EncodingAttr(encoding), value.type.layout)
                Rewriter.replace_value_with_new_type(value, type)
    for op in walk():
        if isinstance(op, FuncOp):
            op.update_function_type()


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
