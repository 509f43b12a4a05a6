"""Checkpoints of 8-bit floats: as DeepSeek-V3 ships (``fp8``: DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024,
section 3.3.2, and its ``inference/fp8_cast_bf16.py``), and with a scale a row (``fbgemm_fp8`` of ``transformers``).

Beside a weight ``[out, in]`` stands what it is multiplied by: ``weight_scale_inv``, one for each block of
``weight_block_size`` or one for all, or ``weight_scale``.
"""

from collections.abc import Mapping

from codesign.numerics.elements import from_codes
from codesign.numerics.encoded import Encoded
from codesign.weights.quantized_modules import Sharing, modules
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor
from codesign_dialects.encoding import Encoding, number_format, plain

SCALES = ("weight_scale_inv", "weight_scale")
FORMATS = ("fp8_e4m3", "fp8_e5m2")


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with each weight that has a scale beside it, and that scale, as one.

    Raises
    ------
    WeightsError
        When a scale does not fit its weight.
    """
    found = dict(tensors)
    for module, parts in modules(tensors, "weight"):
        scale = next((name for name in SCALES if name in parts), None)
        if parts["weight"].format in FORMATS and scale is not None:
            size = settings.get("weight_block_size")
            found[f"{module}.weight"] = scaled(where, parts["weight"], found.pop(f"{module}.{scale}"), size)
    return found


def scaled(where: str, weight: StoredTensor, scale: StoredTensor, block_size: object = None) -> StoredTensor:
    """A weight ``[out, in]`` of floats and its scale as one tensor. The scale of a block of several rows is stored for
    each of them.

    Raises
    ------
    WeightsError
        When the scale does not fit.
    """
    sharing = Sharing.of(where, weight.name, weight.shape, scale, block_size)
    number = number_format(weight.format)
    encoding = Encoding(number, plain(scale.format), block=sharing.block, per_tensor=sharing.per_tensor)

    def make() -> Encoded:
        values = sharing.spread(scale.float32(), weight.shape[0])
        elements = from_codes(weight.payload.reshape(weight.shape), number)
        return Encoded(encoding, elements, {"scale": Encoded(plain(scale.format), values)})

    return RepackedTensor.encoded(weight.name, weight.shape, encoding, [weight, scale], make)
