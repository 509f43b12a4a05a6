"""How linear operations are cut into jobs, and where their weights lie.

A *job* is a matmul on some row tiles of one linear operation. Where the weights of all layers fit their SRAMs they are
loaded once and stay. Otherwise they stream through a ring of slots, a job each; off-chip memory then holds each job's
scales behind its weights, in the order of use.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.traits import SymbolTable

from codesign.errors import CodesignError
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.encoding import Encoding, number_format, plain
from codesign_dialects.formats import encoding_of
from codesign_dialects.transformer import GetOp, LinearOp, RepeatOp
from codesign_dialects.transformer.shapes import shape_of

INT8 = Encoding(number_format("int8"), plain("float32"))

SLOTS = (8, 4, 2)
"""Slots of the ring, the first that fits: more let loads run further ahead, fewer make larger jobs."""

HEAD_PARTS = 8
"""Parts of the head: while one is multiplied, the largest logit of the one before is found."""

MOST_BEATS = (1 << 16) - 1
"""Beats of the longest load."""


@dataclass(frozen=True)
class Weight:
    """A linear operation's weight: `rows` outputs in `tiles` row tiles of `slices` words, `job_tiles` of them a job,
    and `blocks` scales a row.

    `weights` and `scales` say where the first job of the first layer is, and `weight_step` and `scale_step` how far
    apart jobs are: in beats of off-chip memory when streamed, in words of their SRAMs when resident.
    """

    parameter: str
    rows: int
    slices: int
    blocks: int
    tiles: int
    job_tiles: int
    weights: int
    scales: int
    weight_step: int
    scale_step: int

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return ceil(self.tiles / self.job_tiles)

    def tiles_of(self, job: int) -> int:
        """Row tiles of a job: the last may have fewer."""
        return min(self.job_tiles, self.tiles - job * self.job_tiles)


@dataclass(frozen=True)
class Group:
    """The weights that one repeat's layers share a shape of, or one weight outside of any (`op` is its operation).

    Those of a layer are `weight_stride` and `scale_stride` behind those of the layer before.
    """

    op: Operation
    layers: range
    weights: dict[Operation, Weight]
    weight_stride: int
    scale_stride: int


@dataclass(frozen=True)
class Plan:
    """All weights of a program in order of use; `slots` is None when they are resident.

    `weight_words` and `scale_words` are those of a slot, or of all that is resident.
    """

    groups: tuple[Group, ...]
    slots: int | None
    weight_words: int
    scale_words: int
    image_beats: int


@dataclass(frozen=True)
class _Shape:
    op: LinearOp
    parameter: str
    rows: int
    slices: int
    blocks: int
    tiles: int
    largest_job: int
    """Row tiles that a job may have, memories apart."""


def plan(module: ModuleOp, machine: Machine) -> Plan:
    """Find the weights of a program and decide where they go.

    Raises
    ------
    CodesignError
        When a weight is not int8 with scales that the matmul unit takes, or two slots of the ring do not fit.
    """
    groups = [
        (op, layers, [_shape(linear, machine, head=op is linear) for linear in linears])
        for op, layers, linears in _linears(module)
    ]
    weight_words = sum(len(layers) * shape.tiles * shape.slices for _, layers, shapes in groups for shape in shapes)
    scale_words = sum(
        len(layers) * shape.tiles * shape.blocks * machine.groups for _, layers, shapes in groups for shape in shapes
    )
    resident = weight_words <= machine.srams["weights"].depth and scale_words <= machine.srams["weight_scales"].depth
    if resident:
        return _resident(groups, machine)
    return _streamed(groups, machine)


_Groups = Sequence[tuple[Operation, range, list[_Shape]]]


def _linears(module: ModuleOp) -> Iterator[tuple[Operation, range, list[LinearOp]]]:
    """The operations of the step that have weights: repeats with the linear operations of their layer, and others."""
    for op in Program(module).step.body.block.ops:
        if isinstance(op, LinearOp):
            yield op, range(1), [op]
        if isinstance(op, RepeatOp):
            function = SymbolTable.lookup_symbol(op, op.layer)
            assert isinstance(function, FuncOp)
            yield op, op.layers, [linear for linear in function.body.walk() if isinstance(linear, LinearOp)]


def _shape(linear: LinearOp, machine: Machine, *, head: bool) -> _Shape:
    get = linear.weight.owner
    if not isinstance(get, GetOp):
        raise CodesignError("lower-to-microcode: a linear operation takes its weight from transformer.get")
    name = get.parameter.string_value()
    rows, inputs = shape_of(linear.weight)
    weight, input = encoding_of(linear.weight.type), encoding_of(linear.input.type)
    block = weight.block if machine.block_scales and weight.block else None
    for what, stored, wanted in (("weight", weight, replace(INT8, block=block)), ("input", input, INT8)):
        if stored != wanted:
            raise CodesignError(
                f"lower-to-microcode: the {what} of @{name} stores <{stored}>; the matmul unit takes <{INT8}>"
                f"{' and blocks' if machine.block_scales else ''}: run quantize{{weights=int8 activations=int8}} first"
            )
    if block is not None and block % machine.width:
        raise CodesignError(
            f"lower-to-microcode: @{name} has a scale for each {block} inputs; the matmul unit adds up {machine.width} "
            "at a time, so that a block is a multiple of them"
        )
    if not head and get.layer is None:
        raise CodesignError(
            f"lower-to-microcode: @{name} is one weight for several layers; stacked ones can be lowered"
        )
    slices, tiles = ceil(inputs / machine.width), ceil(rows / machine.lanes)
    most = MOST_BEATS * machine.port // (slices * machine.lanes * machine.width)
    largest = min(most, ceil(tiles / HEAD_PARTS) if head else tiles)
    return _Shape(linear, name, rows, slices, inputs // block if block else 1, tiles, max(1, largest))


def _resident(groups: _Groups, machine: Machine) -> Plan:
    weights = scales = 0
    planned: list[Group] = []
    for op, layers, shapes in groups:
        of_layer: dict[Operation, Weight] = {}
        first_weights, first_scales = weights, scales
        for shape in shapes:
            tile_scales = shape.blocks * machine.groups
            of_layer[shape.op] = Weight(
                parameter=shape.parameter,
                rows=shape.rows,
                slices=shape.slices,
                blocks=shape.blocks,
                tiles=shape.tiles,
                job_tiles=shape.largest_job,
                weights=weights,
                scales=scales,
                weight_step=shape.largest_job * shape.slices,
                scale_step=shape.largest_job * tile_scales,
            )
            weights += shape.tiles * shape.slices
            scales += shape.tiles * tile_scales
        weight_stride, scale_stride = weights - first_weights, scales - first_scales
        planned.append(Group(op, layers, of_layer, weight_stride, scale_stride))
        weights = first_weights + len(layers) * weight_stride
        scales = first_scales + len(layers) * scale_stride
    return Plan(tuple(planned), None, weights, scales, 0)


def _streamed(groups: _Groups, machine: Machine) -> Plan:
    shapes = [shape for _, _, shapes in groups for shape in shapes]
    slots, weight_words, scale_words = _ring(shapes, machine)
    beat = 0
    planned: list[Group] = []
    for op, layers, shapes in groups:
        of_layer: dict[Operation, Weight] = {}
        first = beat
        for shape in shapes:
            tile_scales = shape.blocks * machine.groups
            fitting = min(shape.largest_job, weight_words // shape.slices, scale_words // tile_scales)
            job_tiles = ceil(shape.tiles / ceil(shape.tiles / fitting))
            weight_beats, scale_beats = job_beats(job_tiles, shape.slices, shape.blocks, machine)
            step = weight_beats + scale_beats
            weight = Weight(
                parameter=shape.parameter,
                rows=shape.rows,
                slices=shape.slices,
                blocks=shape.blocks,
                tiles=shape.tiles,
                job_tiles=job_tiles,
                weights=beat,
                scales=beat + weight_beats,
                weight_step=step,
                scale_step=step,
            )
            of_layer[shape.op] = weight
            beat += weight.jobs * step
        stride = beat - first
        planned.append(Group(op, layers, of_layer, stride, stride))
        beat = first + len(layers) * stride
    return Plan(tuple(planned), slots, weight_words, scale_words, beat)


def job_beats(row_tiles: int, slices: int, blocks: int, machine: Machine) -> tuple[int, int]:
    """Beats of the weights and of the scales of so many row tiles."""
    weights = row_tiles * slices * machine.lanes * machine.width
    return ceil(weights / machine.port), ceil(4 * row_tiles * blocks * machine.lanes / machine.port)


def _ring(shapes: Sequence[_Shape], machine: Machine) -> tuple[int, int, int]:
    """Slots of the ring, and a slot's words of weights and of scales: whole beats, a row tile of any weight or more."""
    largest = max(shape.slices for shape in shapes)
    most_scales = max(shape.blocks for shape in shapes) * machine.groups
    for slots in SLOTS:
        weight_words = _slot_words("weights", slots, machine)
        scale_words = _slot_words("weight_scales", slots, machine)
        if weight_words >= largest and scale_words >= most_scales:
            return slots, weight_words, scale_words
    short: list[str] = []
    for role, words in (("weights", largest), ("weight_scales", most_scales)):
        sram = machine.srams[role]
        grain = max(machine.port, sram.word)
        needed = SLOTS[-1] * ceil(words * sram.word / grain) * grain
        if needed > sram.nbytes:
            short.append(f"@{sram.name} needs {needed} bytes and has {sram.nbytes} (short by {needed - sram.nbytes})")
    raise CodesignError(
        f"lower-to-microcode: {SLOTS[-1]} row tiles of the widest weight do not fit: {'; '.join(short)}"
    )


def _slot_words(role: str, slots: int, machine: Machine) -> int:
    sram = machine.srams[role]
    grain = max(machine.port, sram.word)
    return sram.nbytes // slots // grain * grain // sram.word
