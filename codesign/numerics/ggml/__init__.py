"""The block formats of GGUF files: where ggml puts what their encodings store, and ggml's rounding to nearest.

The layouts are those of `ggml/src/ggml-common.h`, the rounding that of the `_ref` functions of
`ggml/src/ggml-quants.c` (https://github.com/ggml-org/ggml). What the parts mean is said by the encoding of that name
(`codesign_dialects.encoding`), and computed by `codesign.numerics.encoded`: every step one IEEE binary32 operation in
ggml's order, so that values equal ggml's bit for bit.
"""

from collections.abc import Mapping
from types import MappingProxyType

from codesign.numerics.ggml import blocks_of_32, codebooks, k_quants, ternary
from codesign.numerics.ggml.block_layout import BlockLayout

LAYOUTS: Mapping[str, BlockLayout] = MappingProxyType(
    {layout.name: layout for layout in (*blocks_of_32.LAYOUTS, *k_quants.LAYOUTS, *ternary.LAYOUTS, *codebooks.LAYOUTS)}
)
"""The layouts by the name of their encoding. K-quants are those of ggml with super-blocks of 256."""
