"""gpt-oss's experts in MXFP4 (OpenAI, 2025; ``integrations/mxfp4.py`` of ``transformers``).

``name_blocks`` ``[experts, out, groups, 16]`` holds two codes a byte, the lower first, ``name_scales`` ``[experts, out,
groups]`` the exponent of each group of 32.
"""

from collections.abc import Mapping

import numpy as np

from codesign.numerics.elements import from_codes
from codesign.numerics.encoded import Encoded
from codesign.numerics.packing import unpack_bits
from codesign.weights.quantized_modules import check
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor
from codesign_dialects.encoding import ENCODINGS, plain

FORMAT = ENCODINGS["mxfp4"]


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with blocks and scales as ``mxfp4``, ``[experts, out, in]``, under the name before ``_blocks``.

    Raises
    ------
    WeightsError
        When scales are missing or have another shape.
    """
    found = dict(tensors)
    for full, blocks in tensors.items():
        name = full.removesuffix("_blocks")
        if name == full:
            continue
        check(where, full, blocks, ("uint8",), (None, None, None, 16))
        scales = check(where, f"{name}_scales", tensors.get(f"{name}_scales"), ("uint8",), blocks.shape[:3])
        found[name] = _tensor(name, blocks, scales)
        del found[full], found[f"{name}_scales"]
    return found


def _tensor(name: str, blocks: StoredTensor, scales: StoredTensor) -> StoredTensor:
    experts, outputs, groups, _ = blocks.shape
    shape = (experts, outputs, 32 * groups)

    def make() -> Encoded:
        codes = unpack_bits(blocks.payload.reshape(experts * outputs, 16 * groups), 4, 32 * groups)
        powers = from_codes(scales.payload.reshape(scales.shape), plain("e8m0").element)
        elements = from_codes(codes, FORMAT.element).reshape(shape)
        return Encoded(FORMAT, elements, {"scale": Encoded(plain("e8m0"), np.asarray(powers))})

    return RepackedTensor.encoded(name, shape, FORMAT, [blocks, scales], make)
