"""Weights as ``compressed-tensors`` (github.com/vllm-project/compressed-tensors, version 0.15) stores them.

Integers lie in int32 words along the inputs (``pack-quantized``), 8-bit floats as they are (``float-quantized``), MXFP4
and NVFP4 two codes a byte (``mxfp4-pack-quantized``, ``nvfp4-pack-quantized``); the reader of all is
``codesign.weights.compressed_tensors``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from codesign.numerics.block_formats import encode
from codesign.numerics.elements import to_codes
from codesign.numerics.encoded import Encoded
from codesign.numerics.packing import Bytes, pack_bits
from codesign.weights import StoredTensor
from codesign.weights.repacked import RepackedTensor
from codesign_dialects.encoding import ENCODINGS, Encoding, NumberFormat, plain

FOUR_BITS = {
    ENCODINGS["mxfp4"]: ("mxfp4-pack-quantized", "group", "torch.uint8"),
    ENCODINGS["nvfp4"]: ("nvfp4-pack-quantized", "tensor_group", "torch.float8_e4m3fn"),
}
"""4-bit floats: layout, strategy and type of the scales (`preset_name_to_scheme` of ``MXFP4A16`` and ``NVFP4A16``)."""

SCALES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Compressed:
    """How ``compressed-tensors`` stores weights of an encoding that it knows."""

    encoding: Encoding

    @classmethod
    def of(cls, encoding: Encoding) -> "Compressed | None":
        """None for an encoding that it does not know. It knows integers of 2 to 8 bits, signed or with a zero point a
        group, and fp8 e4m3 without groups, each with a float scale; MXFP4 and NVFP4."""
        if encoding in FOUR_BITS:
            return cls(encoding)
        element, scale, zero = encoding.element, encoding.scale, encoding.zero_point
        if scale is None or str(scale) not in SCALES or encoding.offset is not None or encoding.sparsity is not None:
            return None
        if element.kind == "float":
            known = element.name == "fp8_e4m3" and zero is None and encoding.block is None
        elif zero is None:
            known = element.kind == "int"
        else:
            known = zero == plain(element.name) and not encoding.per_tensor
        packed = element.kind in ("int", "uint") and 2 <= element.bits <= 8 and not element.fraction
        return cls(encoding) if known and (packed or element.kind == "float") else None

    @property
    def words(self) -> bool:
        """Whether codes lie in words."""
        return self.encoding.element.kind != "float"

    @property
    def overall(self) -> bool:
        """Whether the scales of groups have one of the whole tensor."""
        return self.encoding.scale is not None and self.encoding.scale.per_tensor

    @property
    def format(self) -> str:
        """The name of the layout."""
        if self.encoding in FOUR_BITS:
            return FOUR_BITS[self.encoding][0]
        return "pack-quantized" if self.words else "float-quantized"

    @property
    def scheme(self) -> Mapping[str, object]:
        """What a group of the configuration says of weights."""
        encoding = self.encoding
        stated = {
            "num_bits": encoding.element.bits,
            "type": "int" if self.words else "float",
            "symmetric": encoding.zero_point is None,
            "strategy": "tensor" if encoding.per_tensor else "channel" if encoding.block is None else "group",
            "group_size": encoding.block,
            "dynamic": False,
        }
        if encoding not in FOUR_BITS:
            return stated
        _, strategy, scale = FOUR_BITS[encoding]
        return {**stated, "strategy": strategy, "scale_dtype": scale}

    def tensors(self, module: str, shape: tuple[int, int], make: Callable[[], Encoded]) -> list[StoredTensor]:
        """The tensors of the weight ``[out, in]`` of a module, of which `make` gives elements and companions."""
        if self.encoding in FOUR_BITS:
            return self._of_four_bits(module, shape, lru_cache(1)(make))
        encoding, made = self.encoding, lru_cache(1)(make)
        assert encoding.scale is not None
        element, scale = encoding.element, encoding.scale.element.name
        scales = encoding.scales(shape) or (1,)

        def tensor(name: str, shape: tuple[int, ...], format: str, pack: Callable[[], Bytes]) -> StoredTensor:
            return RepackedTensor(f"{module}.{name}", shape, format, (), pack)

        def pack_scales() -> Bytes:
            return encode(scale, made().companions["scale"].values().reshape(scales))

        found = [tensor("weight_scale", scales, scale, pack_scales)]
        if not self.words:
            return [tensor("weight", shape, element.name, lambda: _bytes(made().elements, element)), *found]
        words = (shape[0], _count(shape[1], element.bits))
        found += [
            tensor(
                "weight_packed", words, "int32", lambda: _words(made().elements, element).view(np.uint8).reshape(-1)
            ),
            tensor("weight_shape", (2,), "int64", lambda: np.array(shape, "<i8").view(np.uint8)),
        ]
        if encoding.zero_point is not None:
            zeros = (_count(shape[0], element.bits), *scales[1:])

            def pack_zeros() -> Bytes:
                down = _words(made().companions["zero"].elements.T, element).T
                return np.ascontiguousarray(down).view(np.uint8).reshape(-1)

            found.append(tensor("weight_zero_point", zeros, "int32", pack_zeros))
        return found

    def _of_four_bits(self, module: str, shape: tuple[int, int], made: Callable[[], Encoded]) -> list[StoredTensor]:
        element, scale = self.encoding.element, self.encoding.scale
        assert scale is not None

        def codes() -> Bytes:
            return pack_bits(to_codes(made().elements, element).astype(np.uint8), 4).reshape(-1)

        def scales() -> Bytes:
            return _bytes(made().companions["scale"].elements, scale.element)

        def divisor() -> Bytes:
            """What scales are divided by."""
            overall = made().companions["scale"].companions["scale"].values()
            return (np.float32(1) / overall).reshape(1).view(np.uint8)

        kind = scale.element.name if self.overall else "uint8"
        found = [
            RepackedTensor(f"{module}.weight_packed", (shape[0], shape[1] // 2), "uint8", (), codes),
            RepackedTensor(f"{module}.weight_scale", self.encoding.scales(shape), kind, (), scales),
        ]
        if self.overall:
            found.append(RepackedTensor(f"{module}.weight_global_scale", (1,), "float32", (), divisor))
        return list[StoredTensor](found)


def _bytes(elements: NDArray[np.generic], number: NumberFormat) -> Bytes:
    return to_codes(elements, number).astype(np.uint8, copy=False).reshape(-1)


def _words(elements: NDArray[np.generic], number: NumberFormat) -> NDArray[np.int32]:
    """Integers ``[rows, n]``, plus half of their range where they have a sign, in words without a gap between them."""
    half = 2 ** (number.bits - 1) if number.kind == "int" else 0
    packed = pack_bits((elements.astype(np.int16) + np.int16(half)).astype(np.uint8), number.bits)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).view("<i4")


def _count(codes: int, bits: int) -> int:
    """The words that so many codes take."""
    return ceil(codes * bits / 32)
