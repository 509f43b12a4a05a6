"""Operations outside attention as sequences of vector commands; docs/arithmetic.md states them."""

from dataclasses import replace

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.allocation import Allocator
from codesign.passes.lower_to_microcode.index import Index, loop
from codesign.passes.lower_to_microcode.tables import Tables, Tokens
from codesign.passes.lower_to_microcode.values import Rows, combine, copy, vector
from codesign.units.machine import Machine


def rows_in(allocator: Allocator, name: str, rows: int, length: int, *, shared: bool = False) -> Rows:
    """New rows in the vector SRAM, or `shared` ones that do not outlive one operation."""
    words = -(-length // allocator.machine.vector)
    nbytes = 4 * allocator.machine.vector * words * rows
    place = allocator.scratch("vector", name, nbytes) if shared else allocator.buffer("vector", name, nbytes)
    return Rows("vector", place, words, length)


def rms_norm(
    source: Rows, weight: Rows | None, result: Rows, epsilon: float, tokens: Tokens, allocator: Allocator
) -> None:
    """``x · (1 / √(Σ x² · (1 / n) + ε)) · weight``; without a weight the last factor is left out."""
    length = source.length
    assert isinstance(length, int)
    root = rows_in(allocator, "statistics", tokens.most, 1, shared=True)
    if source.role == "results":
        # Of `results` only the first operand is read, and a square has two.
        copy(source, result, tokens.count)
        source = result
    vector("reduce_sum", source, root, tokens.count, source)
    vector("multiply", root, root, tokens.count, 1 / length)
    vector("add", root, root, tokens.count, epsilon)
    vector("square_root", root, root, tokens.count)
    vector("reciprocal", root, root, tokens.count)
    vector("multiply", source, result, tokens.count, root, scalar=True)
    if weight is not None:
        vector("multiply", result, result, tokens.count, replace(weight, stride=0))


def rotary(
    source: Rows, result: Rows, heads: int, theta: float, tokens: Tokens, tables: Tables, allocator: Allocator
) -> None:
    """``x · cos + swapped halves of x · signed sin``, head by head, a token at a time.

    Raises
    ------
    CodesignError
        When half a head is no whole number of the vector unit's words.
    """
    machine = allocator.machine
    size = _head_size(source, heads, machine)
    half = size // 2 // machine.vector
    turned = rows_in(allocator, "scratch", heads, size, shared=True)
    with loop(tokens.count) as token:
        cosines, sines = tables.rotary(size, theta, token)
        x, out = source.row(token).split(heads, machine), result.row(token).split(heads, machine)
        vector("multiply", x, out, heads, cosines)
        vector("multiply", x.words(half).cut(size // 2), turned, heads, sines)
        vector("multiply", x.cut(size // 2), turned.words(half), heads, sines.words(half))
        vector("add", out, out, heads, turned)


def _head_size(source: Rows, heads: int, machine: Machine) -> int:
    assert isinstance(source.length, int)
    size = source.length // heads
    if size % (2 * machine.vector):
        raise CodesignError(
            f"lower-to-microcode: transformer.rotary: half of a head of {size} features is no multiple of the vector "
            f"unit's {machine.vector} lanes"
        )
    return size


def gate(gates: Rows, up: Rows, result: Rows, tokens: Tokens, allocator: Allocator) -> None:
    """``g / (1 + exp(−g)) · up``."""
    assert isinstance(gates.length, int)
    scratch = rows_in(allocator, "scratch", tokens.most, gates.length, shared=True)
    vector("multiply", gates, scratch, tokens.count, -1.0)
    vector("exp", scratch, scratch, tokens.count)
    vector("add", scratch, scratch, tokens.count, 1.0)
    vector("divide", gates, scratch, tokens.count, scratch)
    combine("multiply", up, scratch, result, tokens.count)


def bias(source: Rows, values: Rows, result: Rows, rows: Index) -> None:
    """``x + bias``, the same for every row."""
    vector("add", source, result, rows, replace(values, stride=0))
