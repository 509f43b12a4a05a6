"""Checkpoints of ``compressed-tensors`` (github.com/vllm-project/compressed-tensors, version 0.15): integers in words
or bytes, 8-bit floats, MXFP4 and NVFP4, each with its scales.

A weight ``[out, in]`` is ``weight``, int8 or a float, or ``weight_packed``: int32 words along the inputs, whose codes
are integers plus half of their range, of shape ``weight_shape``; or uint8 that hold two 4-bit floats, the lower bits
first. ``weight_scale`` and ``weight_zero_point`` are of groups, rows, blocks or the whole, as ``weight_global_scale``
is, by which NVFP4's scales are divided.
"""

from collections.abc import Mapping
from math import ceil
from typing import cast

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.elements import from_codes
from codesign.numerics.encoded import Encoded
from codesign.numerics.packing import unpack_bits
from codesign.weights import fp8
from codesign.weights.quantized_modules import FLOATS, Sharing, check, codes, modules, words
from codesign.weights.repacked import RepackedTensor
from codesign.weights.stored import StoredTensor, WeightsError
from codesign_dialects.encoding import ENCODINGS, Encoding, number_format, plain

PARTS = ("weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_global_scale")

Parts = Mapping[str, StoredTensor]


def repacked(
    settings: Mapping[str, object], where: str, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors with each compressed weight and what belongs to it as one, ``[out, in]``.

    Raises
    ------
    WeightsError
        For a sparse layout, inputs out of the order of their groups, and a tensor that is missing or does not fit.
    """
    sparsity = settings.get("sparsity_config")
    if isinstance(sparsity, dict) and cast(dict[str, object], sparsity).get("format", "dense") != "dense":
        raise WeightsError(f"{where}: compressed-tensors with a sparsity_config are not read; expected a dense format")
    schemes = list(_weight_schemes(settings))
    found = dict(tensors)
    for module, parts in modules(tensors, "weight_scale"):
        name = f"{module}.weight"
        if "weight_g_idx" in parts:
            raise WeightsError(
                f"{where}: {module + '.weight_g_idx'!r} puts inputs out of the order of their groups (actorder group), "
                "which is not read; expected actorder weight or none"
            )
        weight = _weight(where, name, module, parts, schemes)
        if weight is not None:
            found |= {name: weight}
            for part in PARTS:
                found.pop(f"{module}.{part}", None)
    return found


def _weight_schemes(settings: Mapping[str, object]) -> list[Mapping[str, object]]:
    """What the groups of a configuration say of weights."""
    groups = settings.get("config_groups")
    schemes = cast(dict[str, object], groups).values() if isinstance(groups, dict) else ()
    weights = [cast(dict[str, object], scheme).get("weights") for scheme in schemes if isinstance(scheme, dict)]
    return [cast(dict[str, object], weight) for weight in weights if isinstance(weight, dict)]


def _weight(
    where: str, name: str, module: str, parts: Parts, schemes: list[Mapping[str, object]]
) -> StoredTensor | None:
    scale = parts["weight_scale"]
    packed = parts.get("weight_packed")
    if packed is not None and packed.format == "int32":
        return _words(where, name, module, parts, packed, schemes)
    if packed is not None:
        check(where, f"{module}.weight_packed", packed, ("uint8",), (None, None))
        return _nibbles(where, name, module, parts, packed)
    weight = parts.get("weight")
    if weight is None:
        return None
    sizes = [scheme.get("block_structure") for scheme in schemes if scheme.get("strategy") == "block"]
    blocks = len(scale.shape) == 2 and scale.shape[0] != weight.shape[0] and bool(sizes)
    size = sizes[0] if blocks else None
    if weight.format == "int8":
        sharing = Sharing.of(where, name, weight.shape, scale, size)
        zero = parts.get("weight_zero_point")
        if zero is not None:
            check(where, f"{module}.weight_zero_point", zero, ("int8",), scale.shape)
        encoding = _integers("int8", scale, sharing, zero)

        def make() -> Encoded:
            return _encoded(encoding, _bytes(weight), scale, None if zero is None else _bytes(zero), sharing)

        return RepackedTensor.encoded(name, weight.shape, encoding, [weight, *_present(scale, zero)], make)
    if weight.format not in fp8.FORMATS:
        return None
    return fp8.scaled(where, weight, scale, size)


def _words(
    where: str, name: str, module: str, parts: Parts, packed: StoredTensor, schemes: list[Mapping[str, object]]
) -> StoredTensor:
    check(where, f"{module}.weight_packed", packed, ("int32",), (None, None))
    stated = check(where, f"{module}.weight_shape", parts.get("weight_shape"), ("int64", "int32"), (2,))
    outputs, inputs = (int(extent) for extent in stated.float32())
    widths = {width for width in (scheme.get("num_bits") for scheme in schemes) if type(width) is int and 0 < width < 9}
    fitting = [bits for bits in widths if (outputs, ceil(inputs * bits / 32)) == packed.shape]
    if len(fitting) != 1:
        raise WeightsError(
            f"{where}: {packed.name!r} {list(packed.shape)} does not hold a weight {[outputs, inputs]} of "
            f"{' or '.join(map(str, sorted(widths))) or 'unstated'} bits"
        )
    (bits,) = fitting
    half = 1 << (bits - 1)
    scale = parts["weight_scale"]
    check(where, f"{module}.weight_scale", scale, FLOATS, (None,) * len(scale.shape))
    sharing = Sharing.of(where, name, (outputs, inputs), scale)
    zero = parts.get("weight_zero_point")
    if zero is not None:
        # One for all is not packed.
        groups = scale.shape[1] if len(scale.shape) == 2 else 1
        packed_shape = (ceil(outputs * bits / 32), groups)
        formats, shape = (("int8",), scale.shape) if sharing.per_tensor else (("int32",), packed_shape)
        check(where, f"{module}.weight_zero_point", zero, formats, shape)
    encoding = _integers(f"int{bits}", scale, sharing, zero)

    def signed(packed: NDArray[np.int32], count: int) -> NDArray[np.int8]:
        return (codes(packed, bits, count).astype(np.int16) - half).astype(np.int8)

    def make() -> Encoded:
        points = None
        if zero is not None:
            points = _bytes(zero) if sharing.per_tensor else signed(words(zero).T, outputs).T
        return _encoded(encoding, signed(words(packed), inputs), scale, points, sharing)

    return RepackedTensor.encoded(name, (outputs, inputs), encoding, [packed, *_present(scale, zero)], make)


def _nibbles(where: str, name: str, module: str, parts: Parts, packed: StoredTensor) -> StoredTensor:
    outputs, inputs = packed.shape[0], 2 * packed.shape[1]
    overall = parts.get("weight_global_scale")
    encoding = ENCODINGS["mxfp4" if overall is None else "nvfp4"]
    formats = ("uint8", "e8m0") if overall is None else ("fp8_e4m3",)
    assert encoding.block is not None
    shape = (outputs, inputs // encoding.block)
    scale = check(where, f"{module}.weight_scale", parts["weight_scale"], formats, shape)
    if overall is not None:
        check(where, f"{module}.weight_global_scale", overall, ("float32",), (1,))
    inner = encoding.companions["scale"]

    def make() -> Encoded:
        elements = from_codes(unpack_bits(packed.payload.reshape(packed.shape), 4, inputs), encoding.element)
        known: dict[str, Encoded] = {}
        if overall is not None:
            known["scale"] = Encoded(plain("float32"), (np.float32(1) / overall.float32()).reshape(()))
        exponents = np.asarray(from_codes(scale.payload.reshape(shape), inner.element))
        return Encoded(encoding, elements, {"scale": Encoded(inner, exponents, known)})

    return RepackedTensor.encoded(name, (outputs, inputs), encoding, [packed, *_present(scale, overall)], make)


def _integers(number: str, scale: StoredTensor, sharing: Sharing, zero: StoredTensor | None) -> Encoding:
    point = None if zero is None else plain(number)
    return Encoding(
        number_format(number), plain(scale.format), block=sharing.block, per_tensor=sharing.per_tensor, zero_point=point
    )


def _encoded(
    encoding: Encoding,
    elements: NDArray[np.int8],
    scale: StoredTensor,
    points: NDArray[np.int8] | None,
    sharing: Sharing,
) -> Encoded:
    outputs = elements.shape[0]
    companions = {"scale": Encoded(plain(scale.format), sharing.spread(scale.float32(), outputs))}
    if points is not None and encoding.zero_point is not None:
        companions["zero"] = Encoded(encoding.zero_point, sharing.spread(points, outputs))
    return Encoded(encoding, elements, companions)


def _bytes(tensor: StoredTensor) -> NDArray[np.int8]:
    return tensor.payload.view(np.int8).reshape(tensor.shape)


def _present(*tensors: StoredTensor | None) -> list[StoredTensor]:
    return [tensor for tensor in tensors if tensor is not None]
