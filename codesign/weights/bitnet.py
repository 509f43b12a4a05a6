"""BitNet checkpoints of ``transformers`` (``integrations/bitnet.py``, version 5): ternary digits in two bits.

A weight ``[out, in]`` is uint8 ``[out / 4, in]``: the rows are cut into four equal parts, and a byte holds, from its
lowest bits, a digit of each, as digit + 1. Beside it stands ``weight_scale``: what digits are multiplied by, or with
the class ``bitlinear`` divided by.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.block_formats import find_encoding, pack
from codesign.numerics.encoded import Encoded
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor, WeightsError

FORMAT = "bitnet_b1_58"


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with each packed weight as ``bitnet_b1_58``, under its own name; `settings` is what the configuration
    says of the quantization.

    Raises
    ------
    WeightsError
        When a packed weight has not the shape or the scale that it should.
    """
    kind = settings.get("linear_class", "bitlinear")
    if kind not in ("bitlinear", "autobitlinear"):
        raise WeightsError(f"{where}: linear_class is bitlinear or autobitlinear, got {str(kind)[:60]!r}")
    found = dict(tensors)
    for name, packed in tensors.items():
        scale = tensors.get(f"{name}_scale")
        if packed.format != "uint8" or scale is None:
            continue
        if len(packed.shape) != 2 or scale.shape not in ((), (1,)):
            raise WeightsError(
                f"{where}: {name!r} is packed ternary [out / 4, in] with one scale, got shapes {list(packed.shape)} "
                f"and {list(scale.shape)}"
            )
        found[name] = _tensor(packed, scale, inverse=kind == "bitlinear")
        del found[f"{name}_scale"]
    return found


def _tensor(packed: StoredTensor, scale: StoredTensor, *, inverse: bool) -> StoredTensor:
    quarter, columns = packed.shape
    shape = (4 * quarter, columns)

    def make() -> NDArray[np.uint8]:
        digits = unpack_digits(packed.payload.reshape(packed.shape))
        if digits.max(initial=0) > 1:
            raise WeightsError(f"tensor {packed.name!r}: two bits of a ternary digit hold 0, 1 or 2; there is a 3")
        value = scale.float32().reshape(())
        value = np.float32(1) / value if inverse else value
        encoding = find_encoding(FORMAT)
        scales = Encoded(encoding.companions["scale"], np.reshape(np.float32(value), encoding.scales(shape)))
        return pack(Encoded(encoding, digits, {"scale": scales}))

    return RepackedTensor(packed.name, shape, FORMAT, (packed, scale), make)


def unpack_digits(packed: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Digits ``[out, in]`` of bytes ``[out / 4, in]``."""
    return np.concatenate([(packed >> shift & 3).astype(np.int8) - 1 for shift in (0, 2, 4, 6)])
