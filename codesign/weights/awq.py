"""AWQ checkpoints, as AutoAWQ writes them (github.com/casper-hansen/AutoAWQ, ``awq/modules/linear/gemm.py``).

Of a weight ``[out, in]`` int32 ``qweight`` ``[in, out / 8]`` and ``qzeros`` ``[groups, out / 8]`` hold codes of four
bits, the eight of a word in the order 0, 2, 4, 6, 1, 3, 5, 7; ``scales`` is ``[groups, out]``. The value is ``(code −
zero) · scale``.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.encoded import Encoded
from codesign.weights.quantized_modules import FLOATS, Codes, check, codes, modules, words
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor, WeightsError
from codesign_dialects.encoding import Encoding, number_format, plain

PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word the code of each of its columns stands."""


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with each packed weight as uint4 with scales and zero points, ``[out, in]``.

    Raises
    ------
    WeightsError
        For another layout, and a tensor that is missing or has another shape.
    """
    for key, only in (("bits", 4), ("version", "gemm"), ("zero_point", True)):
        if settings.get(key, only) != only:
            raise WeightsError(f"{where}: awq with {key} {str(settings[key])[:60]} is not read; known: {only}")
    found = dict(tensors)
    for module, parts in modules(tensors, "qweight"):
        found[f"{module}.weight"] = _tensor(f"{module}.weight", module, parts, where)
        for part in ("qweight", "qzeros", "scales"):
            found.pop(f"{module}.{part}", None)
    return found


def _tensor(name: str, module: str, parts: Mapping[str, StoredTensor], where: str) -> StoredTensor:
    packed = check(where, f"{module}.qweight", parts["qweight"], ("int32",), (None, None))
    inputs, outputs = packed.shape[0], 8 * packed.shape[1]
    scales = check(where, f"{module}.scales", parts.get("scales"), FLOATS, (None, outputs))
    groups = scales.shape[0]
    zeros = check(where, f"{module}.qzeros", parts.get("qzeros"), ("int32",), (groups, outputs // 8))
    if groups < 1 or inputs % groups:
        raise WeightsError(f"{where}: {module!r}: {groups} groups do not divide {inputs} inputs")
    block = inputs // groups if groups > 1 else None
    encoding = Encoding(number_format("uint4"), plain(scales.format), block=block, zero_point=plain("uint4"))

    def make() -> Encoded:
        companions = {
            "scale": Encoded(plain(scales.format), scales.float32().T),
            "zero": Encoded(plain("uint4"), _columns(words(zeros)).T),
        }
        return Encoded(encoding, _columns(words(packed)).T, companions)

    return RepackedTensor.encoded(name, (outputs, inputs), encoding, [packed, scales, zeros], make)


def _columns(packed: NDArray[np.int32]) -> Codes:
    """The codes ``[rows, 8 · words]`` in the order of their columns."""
    ordered = codes(packed, 4, 8 * packed.shape[1]).reshape(*packed.shape, 8)[..., PLACES]
    return ordered.reshape(len(packed), -1)
