"""Memories and commands drawn at random for the benches of units."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.numerics.vector import FUNCTIONS, REDUCTIONS
from codesign.units.argmax import ARGMAX
from codesign.units.machine import Machine
from codesign.units.matmul import MATMUL, WEIGHTS
from codesign.units.memories import Memories
from codesign.units.quantizer import ACTIVATIONS, KEYS, QUANTIZER, SCALES
from codesign.units.record import Command, Unit
from codesign.units.vector import IMMEDIATE, VECTOR_UNIT, WORDS
from tests.codesign_verilog.test_float_library import SPECIALS

Float32 = NDArray[np.float32]


def random_floats(generator: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Everyday values, values of any exponent, and special ones."""
    usual = generator.normal(0, 4, shape).astype(np.float32)
    wild = generator.integers(0, 1 << 32, shape, np.uint32).view(np.float32)
    special = (np.array(SPECIALS, np.uint32)[generator.integers(0, len(SPECIALS), shape)]).view(np.float32)
    kind = generator.random(shape)
    return np.where(kind < 0.9, usual, np.where(kind < 0.97, wild, special))


def random_scales(generator: np.random.Generator, count: int) -> Float32:
    """Scales from the usual to those that make products subnormal or overflow, and a few that are none."""
    usual, wild = generator.uniform(-3, 0, count), generator.uniform(-30, 24, count)
    kind = generator.random(count)
    scales = (10.0 ** np.where(kind < 0.8, usual, wild)).astype(np.float32)
    return np.where(kind < 0.97, scales, random_floats(generator, (count,)))


def few_kinds(generator: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Rows of values that are often equal: stretches of usual ones, of zeros of both signs, of infinities, of NaNs."""
    bits = np.array(
        [
            [0x3F800000, 0xBF800000, 0x3F800001, 0x40400000],
            [0x00000000, 0x80000000, 0x80000000, 0x80000001],
            [0xFF800000, 0xFF800000, 0xFF7FFFFF, 0xFF800000],
            [0x7F800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000],
            [0x7FC00000, 0xFFC00001, 0x7F800000, 0x7F800001],
        ],
        np.uint32,
    )
    kind = np.repeat(generator.integers(0, len(bits), -(-shape[0] // 8)), 8)[: shape[0]]
    return bits[kind[:, None], generator.integers(0, bits.shape[1], shape)].view(np.float32)


def near_the_least_inverse(generator: np.random.Generator, shape: tuple[int, ...]) -> Float32:
    """Values about where a row is too small for its 127 / m to be finite."""
    edge = int((np.float32(127) / np.finfo(np.float32).max).view(np.uint32))
    largest = edge + int(generator.choice([-edge, -(1 << 23), -1, 0, 1, 2]))
    tiny = generator.integers(0, largest + 1, shape, np.uint32)
    tiny[generator.random(shape) < 0.2] = largest
    return tiny.view(np.float32) * generator.choice(np.array([-1, 1], np.float32), shape)


def random_memories(generator: np.random.Generator, machine: Machine, bytes_: Sequence[int]) -> Memories:
    """Memories full of values: matmul operands drawn from ``bytes_``."""
    memories = Memories.of(machine, np.zeros(0, np.uint8))
    for role in ("activations", "weights", "kv"):
        words = memories.words(role, np.int8)
        words[:] = generator.choice(np.array(bytes_, np.int8), words.shape)
    for role in ("activation_scales", "weight_scales", "key_scales", "value_scales"):
        words = memories.words(role, np.float32)
        words[:] = random_scales(generator, words.size).reshape(words.shape)
    for role in ("vector", "results", "constants"):
        words = memories.words(role, np.float32)
        usual = generator.normal(0, 4, words.shape).astype(np.float32)
        words[:] = np.where(generator.random((len(words), 1)) < 0.9, usual, random_floats(generator, words.shape))
    constants = memories.words("constants", np.float32)
    quarter = len(constants) // 4
    constants[:quarter] = few_kinds(generator, constants[:quarter].shape)
    for first in range(quarter, 2 * quarter, 16):
        constants[first : first + 16] = near_the_least_inverse(generator, constants[first : first + 16].shape)
    return memories


def matmul_command(
    generator: np.random.Generator, machine: Machine, k_slices: int, row_tiles: int, tokens: int
) -> Command:
    """A command of that shape with everything else at random."""
    source = int(generator.integers(0, 3))
    operand, scales = ("weights", "weight_scales") if source == WEIGHTS else ("kv", "key_scales")
    weight_stride = int(generator.integers(0, k_slices + 3))
    divisors = [slices for slices in range(1, k_slices + 1) if k_slices % slices == 0]
    block_slices = int(generator.choice(divisors)) if machine.block_scales else k_slices
    scale_words = row_tiles * k_slices // block_slices * machine.groups
    if scale_words > machine.srams[scales].depth:
        block_slices, scale_words = k_slices, row_tiles * machine.groups
    result_stride = row_tiles * machine.groups + int(generator.integers(0, 4))

    def address(role: str, words: int) -> int:
        return int(generator.integers(0, machine.srams[role].depth - words + 1))

    return {
        "activation": address("activations", tokens * k_slices),
        "activation_scale": address("activation_scales", tokens),
        "weight": address(operand, (row_tiles - 1) * weight_stride + k_slices),
        "weight_scale": address(scales, scale_words),
        "result": address("results", (tokens - 1) * result_stride + row_tiles * machine.groups),
        "result_stride": result_stride,
        "weight_stride": weight_stride,
        "k_slices": k_slices,
        "row_tiles": row_tiles,
        "tokens": tokens,
        "source": source,
        **({"block_slices": block_slices} if machine.block_scales else {}),
    }


def matmul_commands(generator: np.random.Generator, machine: Machine, count: int) -> list[tuple[Unit, Command]]:
    """Commands on both sides of k_slices = groups, the smallest among them."""
    shapes = [(1, 1, 1), (machine.groups, 2, machine.tokens), (1, 4, machine.tokens)]
    while len(shapes) < count:
        k_slices = int(generator.integers(1, 2 * machine.groups + 2))
        row_tiles = int(generator.integers(1, max(2, 24 // k_slices)))
        shapes.append((k_slices, row_tiles, int(generator.integers(1, machine.tokens + 1))))
    return [(MATMUL, matmul_command(generator, machine, *shape)) for shape in shapes]


def _rows(
    generator: np.random.Generator, machine: Machine, roles: Sequence[str], rows: int, beats: int, apart: int
) -> tuple[int, int]:
    """Address in the vector queue's space and stride of rows in one of `roles`, at least `apart` lengths of a row."""
    role = roles[int(generator.integers(0, len(roles)))]
    stride = int(generator.integers(apart, 3)) * beats + int(generator.integers(0, 2)) if rows > 1 else 0
    depth = machine.srams[role].nbytes // (4 * machine.vector)
    return machine.vector_space(role) + int(generator.integers(0, depth - (rows - 1) * stride - beats + 1)), stride


def vector_command(generator: np.random.Generator, machine: Machine, function: str) -> Command:
    lanes, reduces = machine.vector, function in REDUCTIONS
    rows = int(generator.integers(1, 11))
    length = int(generator.integers(1, min(6, 40 // rows) * lanes + 1))
    beats = -(-length // lanes)
    operand = int(generator.integers(WORDS, IMMEDIATE + 1))
    a, a_stride = _rows(generator, machine, ("vector", "results", "constants"), rows, beats, 0)
    b, b_stride = _rows(
        generator, machine, ("vector", "constants", "value_scales"), rows, beats if operand == WORDS else 1, 0
    )
    result, result_stride = _rows(generator, machine, ("vector",), rows, 1 if reduces else beats, 1)
    if not reduces and a < machine.srams["vector"].depth and generator.random() < 0.3:
        result, result_stride = a, a_stride
    return {
        "function": FUNCTIONS.index(function),
        "operand": operand,
        "a": a,
        "a_stride": a_stride,
        "b": b,
        "b_stride": b_stride,
        "result": result,
        "result_stride": result_stride,
        "immediate": int(np.float32(generator.normal()).view(np.uint32)),
        "rows": rows,
        "length": length,
    }


def quantizer_command(generator: np.random.Generator, machine: Machine, destination: int) -> Command:
    width, word = machine.width, "activations" if destination == ACTIVATIONS else "kv"
    # As many as fill a batch, where rows are short.
    rows = int(generator.integers(1, generator.choice([4, 7, 40])))
    length = int(generator.integers(1, max(1, min(5 * width, 12 * machine.vector) * 6 // max(6, rows)) + 1))
    beats, slices = -(-length // machine.vector), -(-length // width)
    source, source_stride = _rows(generator, machine, ("vector", "results", "constants"), rows, beats, 0)
    depth, floats = machine.srams[word].depth, machine.srams[SCALES[destination]].nbytes // 4
    row_stride = int(generator.integers(0, min(5, depth // (2 * rows)) + 1))
    tile_stride = int(generator.integers(0, 6))
    tiles = -(-length // machine.lanes)
    reach = {
        ACTIVATIONS: rows * slices,
        KEYS: (rows - 1) * row_stride + slices,
    }.get(destination, (rows - 1) * row_stride + (tiles - 1) * tile_stride + 1)
    scale_stride = int(generator.integers(0, min(4, floats // rows) + 1))
    return {
        "source": source,
        "source_stride": source_stride,
        "destination": destination,
        "address": int(generator.integers(0, depth - reach + 1)),
        "row_stride": row_stride,
        "tile_stride": tile_stride,
        "offset": int(generator.integers(0, machine.lanes if destination == KEYS else width)),
        "scale": int(generator.integers(0, floats - (rows - 1) * scale_stride)),
        "scale_stride": scale_stride,
        "rows": rows,
        "length": length,
    }


def argmax_command(generator: np.random.Generator, machine: Machine, first: bool) -> Command:
    """More often than not from values that are often equal."""
    length = int(generator.integers(1, 5 * machine.vector + 1))
    beats = -(-length // machine.vector)
    if generator.random() < 0.7:
        quarter = machine.srams["constants"].depth // 4
        source = machine.vector_space("constants") + int(generator.integers(0, quarter - beats + 1))
    else:
        source, _ = _rows(generator, machine, ("vector", "results", "constants"), 1, beats, 1)
    return {
        "source": source,
        "base": int(generator.choice([0, 7, 640, 1 << 20, (1 << 32) - 640])),
        "length": length,
        "first": int(first or generator.random() < 0.4),
        "last": int(generator.random() < 0.5),
        "place": int(generator.integers(0, machine.context)),
    }


def vector_commands(generator: np.random.Generator, memories: Memories, count: int) -> list[tuple[Unit, Command]]:
    """Vector commands of every function in turn; those that would read their own results are drawn again."""
    commands: list[tuple[Unit, Command]] = []
    while len(commands) < count:
        command = vector_command(generator, memories.machine, FUNCTIONS[len(commands) % len(FUNCTIONS)])
        try:
            VECTOR_UNIT.execute(command, copy_of(memories))
        except CodesignError:
            continue
        commands.append((VECTOR_UNIT, command))
    return commands


def vector_queue_commands(
    generator: np.random.Generator, memories: Memories, rounds: int
) -> list[tuple[Unit, Command]]:
    """A round has every function of the vector unit and all that the others can do, in any order."""
    machine = memories.machine
    commands: list[tuple[Unit, Command]] = []
    for _ in range(rounds):
        commands += vector_commands(generator, memories, len(FUNCTIONS))
        commands += [(QUANTIZER, quantizer_command(generator, machine, kind % 3)) for kind in range(6)]
        commands += [(ARGMAX, argmax_command(generator, machine, first=False)) for _ in range(8)]
    order = generator.permutation(len(commands))
    first = (ARGMAX, argmax_command(generator, machine, first=True))
    return [first, *(commands[place] for place in order)]


def copy_of(memories: Memories) -> Memories:
    srams: Mapping[str, NDArray[np.uint8]] = {role: sram.copy() for role, sram in memories.srams.items()}
    return Memories(memories.machine, memories.off_chip, dict(srams), memories.tokens.copy(), memories.winner.copy())


def random_gaps(generator: np.random.Generator, count: int) -> list[int]:
    """Mostly none: cycles that a command is offered later than it could be."""
    return np.where(generator.random(count) < 0.7, 0, generator.integers(0, 100, count)).tolist()
