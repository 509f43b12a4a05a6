# pyright: basic
"""Sixteen numbers at once, in functions that Numba compiles: LLVM's vectors, and the few operations that products need.

LLVM splits or joins them to the vectors that the processor has. Nothing here depends on one.
"""

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 16

_FEATURES = get_host_cpu_features()

DOT_TAKES_BYTES = bool(_FEATURES.get("avx512vnni"))
"""Whether :func:`dot` takes all bytes and all inputs; else a pair of its products must not leave int16."""

HAS_DOT = DOT_TAKES_BYTES or bool(_FEATURES.get("avx2"))
"""Whether :func:`dot` is a few instructions here."""

_BYTE, _INT, _FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, LANES), ir.VectorType(_FLOAT, LANES)
_MAGIC = 0x4B000000
"""The bits of 2²³ in binary32: a whole number below 2²³ put into its lowest bits is added to it exactly."""


class Lanes(types.Type):
    """Sixteen int32 or float32."""

    def __init__(self, vector: ir.VectorType, name: str):
        self.vector = vector
        super().__init__(name)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type: Lanes):
        super().__init__(manager, type, type.vector)


INTS, FLOATS = Lanes(_INTS, "Lanes(int32)"), Lanes(_FLOATS, "Lanes(float32)")


def _splat(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(
        first, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(_INT, vector.count), [0] * vector.count)
    )


def _constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _load(context: Any, builder: Any, array_type: Any, array: Any, index: Any, type: Any) -> Any:
    """What lies at an index of a one-dimensional array, as `type`."""
    data = context.make_array(array_type)(context, builder, array).data
    place = builder.bitcast(builder.gep(data, [index]), type.as_pointer())
    return builder.load(place, align=1)


@intrinsic
def ints(typing: Any, value: Any) -> Any:
    """An int32 in all lanes."""
    return INTS(types.int32), lambda context, builder, signature, args: _splat(builder, args[0], _INTS)


@intrinsic
def floats(typing: Any, value: Any) -> Any:
    """A float32 in all lanes."""
    return FLOATS(types.float32), lambda context, builder, signature, args: _splat(builder, args[0], _FLOATS)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Sixteen float32 from an index of an array."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, signature.args[0], args[0], args[1], _FLOATS)

    return FLOATS(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Put sixteen float32 at an index of an array."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.bitcast(builder.gep(data, [args[1]]), _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, FLOATS), code


@intrinsic
def add(typing: Any, left: Any, right: Any) -> Any:
    """The sums, each rounded."""
    return FLOATS(FLOATS, FLOATS), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def multiply(typing: Any, left: Any, right: Any) -> Any:
    """The products, each rounded."""
    return FLOATS(FLOATS, FLOATS), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def add_ints(typing: Any, left: Any, right: Any) -> Any:
    """The sums of int32."""
    return INTS(INTS, INTS), lambda context, builder, signature, args: builder.add(*args)


@intrinsic
def add_whole(typing: Any, total: Any, value: Any) -> Any:
    """Int32 and float32 that are whole numbers, added exactly."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.add(args[0], builder.fptosi(args[1], _INTS))

    return INTS(INTS, FLOATS), code


@intrinsic
def rounded(typing: Any, value: Any) -> Any:
    """Int32 as the nearest float32."""
    return FLOATS(INTS), lambda context, builder, signature, args: builder.sitofp(args[0], _FLOATS)


@intrinsic
def multiply_add(typing: Any, left: Any, scalar: Any, total: Any) -> Any:
    """``left · scalar + total``, rounded once."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        signature = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        function = get_or_insert_function(builder.module, signature, f"llvm.fma.v{LANES}f32")
        return builder.call(function, [args[0], _splat(builder, args[1], _FLOATS), args[2]])

    return FLOATS(FLOATS, types.float32, FLOATS), code


@intrinsic
def load_codes(typing: Any, codes: Any, index: Any) -> Any:
    """The next four bytes of sixteen rows, from an index of an array of bytes: an int32 a row."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, signature.args[0], args[0], args[1], _INTS)

    return INTS(codes, types.intp), code


@intrinsic
def shift(typing: Any, codes: Any, count: Any) -> Any:
    """The bits of each lane `count` places lower, zeros above them."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.lshr(args[0], _splat(builder, args[1], _INTS))

    return INTS(INTS, types.int32), code


@intrinsic
def both(typing: Any, codes: Any, mask: Any) -> Any:
    """The bits that both have."""
    return INTS(INTS, INTS), lambda context, builder, signature, args: builder.and_(*args)


@intrinsic
def dot(typing: Any, total: Any, codes: Any, inputs: Any, at: Any) -> Any:
    """To each lane's int32 add the products of its four bytes, unsigned, with the four int8 from an index of `inputs`.

    One instruction where the processor has AVX-512 VNNI. With AVX2 neighboring products meet in an int16, which holds
    them where the bytes are below 128 or the inputs within ±64.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        four = _splat(builder, _load(context, builder, signature.args[2], args[2], args[3], _INT), _INTS)
        if DOT_TAKES_BYTES:
            function = ir.FunctionType(_INTS, [_INTS] * 3)
            instruction = get_or_insert_function(builder.module, function, "llvm.x86.avx512.vpdpbusd.512")
            return builder.call(instruction, [args[0], args[1], four])
        halves = [_pairs_of_half(builder, args[1], four, half) for half in range(2)]
        return builder.add(args[0], builder.shuffle_vector(*halves, ir.Constant(_INTS, list(range(LANES)))))

    return INTS(INTS, INTS, inputs, types.intp), code


def _pairs_of_half(builder: Any, codes: Any, inputs: Any, half: int) -> Any:
    """The sums of products of eight of sixteen lanes, by the instructions of AVX2."""
    places = ir.Constant(ir.VectorType(_INT, LANES // 2), [LANES // 2 * half + place for place in range(LANES // 2)])
    bytes, words, ints = (ir.VectorType(ir.IntType(bits), 256 // bits) for bits in (8, 16, 32))
    unsigned, signed = (
        builder.bitcast(builder.shuffle_vector(vector, vector, places), bytes) for vector in (codes, inputs)
    )
    multiply = get_or_insert_function(
        builder.module, ir.FunctionType(words, [bytes, bytes]), "llvm.x86.avx2.pmadd.ub.sw"
    )
    sum = get_or_insert_function(builder.module, ir.FunctionType(ints, [words, words]), "llvm.x86.avx2.pmadd.wd")
    return builder.call(sum, [builder.call(multiply, [unsigned, signed]), _constant(words, 1)])


@intrinsic
def field(typing: Any, codes: Any, mask: Any, zero: Any) -> Any:
    """``(codes & mask) − zero`` as float32, exactly: `mask` has at most 16 bits, `zero` stands for 2²³ more than what
    is subtracted."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.or_(builder.and_(args[0], args[1]), _constant(_INTS, _MAGIC))
        return builder.fsub(builder.bitcast(bits, _FLOATS), args[2])

    return FLOATS(INTS, INTS, FLOATS), code


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line at an index, which may lie behind the array's end."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _BYTE.as_pointer()
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT])
        )
        # For reading, into every level of the cache, as data.
        builder.call(function, [place, *(ir.Constant(_INT, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), code
