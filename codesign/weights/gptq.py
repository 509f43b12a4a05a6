"""GPTQ checkpoints, as AutoGPTQ and GPTQModel write them (github.com/AutoGPTQ/AutoGPTQ, ``qlinear_cuda_old.py``).

Of a weight ``[out, in]`` int32 ``qweight`` ``[in · bits / 32, out]`` holds codes one after another down each column,
``qzeros`` ``[groups, out · bits / 32]`` the zero points along each row, ``scales`` ``[groups, out]``; ``g_idx``
``[in]`` says the group of each input. The value is ``(code − zero) · scale``. Zero points of the first convention are
stored less one, those of ``gptq_v2`` as they are.
"""

from collections.abc import Mapping

import numpy as np

from codesign.numerics.encoded import Encoded
from codesign.weights.quantized_modules import FLOATS, check, codes, modules, words
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor, WeightsError
from codesign_dialects.encoding import Encoding, number_format, plain

LAYOUTS = {"gptq": 1, "gptq_v2": 0}
"""What is added to stored zero points, by the ``checkpoint_format``."""

BITS = (2, 3, 4, 8)


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with each packed weight as unsigned integers with scales and zero points, ``[out, in]``; one whose
    inputs are out of the order of their groups (``desc_act``), which no encoding states, as float32.

    Raises
    ------
    WeightsError
        For another layout, and a tensor that is missing or has another shape.
    """
    layout = settings.get("checkpoint_format", "gptq")
    if layout not in LAYOUTS:
        raise WeightsError(f"{where}: checkpoint_format {str(layout)[:60]!r} is not read; known: {', '.join(LAYOUTS)}")
    found = dict(tensors)
    for module, parts in modules(tensors, "qweight"):
        found[f"{module}.weight"] = _tensor(f"{module}.weight", module, parts, settings, where, LAYOUTS[str(layout)])
        for part in ("qweight", "qzeros", "scales", "g_idx"):
            found.pop(f"{module}.{part}", None)
    return found


def _tensor(
    name: str, module: str, parts: Mapping[str, StoredTensor], settings: Mapping[str, object], where: str, offset: int
) -> StoredTensor:
    packed = check(where, f"{module}.qweight", parts["qweight"], ("int32",), (None, None))
    rows, outputs = packed.shape
    order = parts.get("g_idx")
    # GPTQModel may give some modules other bits than the configuration says.
    bits = settings.get("bits") if order is None else 32 * rows / max(order.shape[0], 1)
    if bits not in BITS:
        raise WeightsError(f"{where}: {module!r} stores {str(bits)[:20]} bits a weight; expected 2, 3, 4 or 8")
    bits = int(bits)
    inputs = 32 * rows // bits
    scales = check(where, f"{module}.scales", parts.get("scales"), FLOATS, (None, outputs))
    groups = scales.shape[0]
    zeros = check(where, f"{module}.qzeros", parts.get("qzeros"), ("int32",), (groups, outputs * bits // 32))
    if groups < 1 or inputs % groups or outputs * bits % 32:
        raise WeightsError(f"{where}: {module!r}: {groups} groups do not divide {inputs} inputs of {outputs} outputs")
    number, shape = number_format(f"uint{bits}"), (outputs, inputs)
    encoding = Encoding(
        number, plain(scales.format), block=inputs // groups if groups > 1 else None, zero_point=plain(number.name)
    )

    def make() -> Encoded:
        # Adding one to the greatest code gives zero: a zero point of 0 is stored as −1.
        points = (codes(words(zeros), bits, outputs) + np.uint8(offset)) & np.uint8(2**bits - 1)
        companions = {
            "scale": Encoded(plain(scales.format), scales.float32().T),
            "zero": Encoded(plain(number.name), points.T),
        }
        return Encoded(encoding, codes(words(packed).T, bits, inputs), companions)

    sources = [packed, scales, zeros]
    if order is None or _in_order(where, module, order, inputs, groups):
        return RepackedTensor.encoded(name, shape, encoding, sources, make)

    def decoded() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        made, group = make(), words(order)
        points, scale = (made.companions[key].values()[:, group] for key in ("zero", "scale"))
        return ((made.elements.astype(np.float32) - points) * scale).reshape(-1).view(np.uint8)

    return RepackedTensor(name, shape, "float32", [*sources, order], decoded)


def _in_order(where: str, module: str, order: StoredTensor, inputs: int, groups: int) -> bool:
    """Whether each group is of neighboring inputs, one group after the other."""
    numbers = words(check(where, f"{module}.g_idx", order, ("int32",), (inputs,)))
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) >= groups:
        raise WeightsError(f"{where}: {module + '.g_idx'!r} names a group beyond the {groups} there are")
    return bool((numbers == np.arange(inputs) // (inputs // groups)).all())
