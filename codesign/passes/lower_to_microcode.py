"""``lower-to-microcode``: one layer's integer linear operations as a program for the chip's scheduler.

Weights, scales and activations come from regions of off-chip memory and results go back there. Each *job* is one
matmul command: the row tiles whose weights fit half of the weights SRAM, for the tokens in flight. Jobs use the halves
of each SRAM in turn, so that while one multiplies, the results of the one before are stored and the operands of the
next are loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from xdsl.context import Context
from xdsl.dialects.builtin import Float32Type, IntegerType, MemRefType, ModuleOp, NoneAttr, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.traits import SymbolTable

from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.microcode import MEMORY, CopyOp, HaltOp, Instruction, MatmulOp, ProgramOp, RegionOp, nbytes
from codesign_dialects.transformer import GetOp, LinearOp, RepeatOp
from codesign_dialects.transformer.shapes import shape_of

_INT8, _FLOAT32 = IntegerType(8), Float32Type()


@dataclass(frozen=True)
class LowerToMicrocodePass(ModulePass):
    """Lower the integer linear operations of layer `layer` for `tokens` tokens, into ``microcode.program
    @layer<N>``."""

    name = "lower-to-microcode"

    tokens: int = 1
    layer: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Add the program to the module."""
        chip = chip_of(op)
        if chip is None:
            raise CodesignError("lower-to-microcode: the program names no chip; compile it for one")
        if self.tokens < 1:
            raise CodesignError(f"lower-to-microcode: tokens={self.tokens}; at least one is needed")
        machine = Machine.of(chip.design)
        linears = [linear for linear in _layer(op, self.layer).walk() if isinstance(linear, LinearOp)]
        integer = [linear for linear in linears if linear.integer]
        if not integer:
            raise CodesignError(
                "lower-to-microcode: no linear operation is on integers; "
                "run quantize{weights=int8 activations=int8} first"
            )
        writer = _Writer(machine)
        writer.write(
            [job for linear in integer for job in _jobs(linear, _first_reader(linear, integer), self.tokens, machine)]
        )
        op.body.block.add_op(ProgramOp(f"layer{self.layer}", Region(writer.block)))


def _layer(module: ModuleOp, layer: int) -> FuncOp:
    for repeat in [repeat for repeat in Program(module).step.walk() if isinstance(repeat, RepeatOp)]:
        if layer in repeat.layers:
            function = SymbolTable.lookup_symbol(repeat, repeat.layer)
            assert isinstance(function, FuncOp)
            return function
    raise CodesignError(f"lower-to-microcode: there is no layer {layer}")


def _weight_name(linear: LinearOp) -> str:
    get = linear.weight.owner
    if not isinstance(get, GetOp):
        raise CodesignError("lower-to-microcode: a linear operation takes its weight from transformer.get")
    return get.parameter.string_value()


def _first_reader(linear: LinearOp, linears: list[LinearOp]) -> str:
    """The first operation that reads the same input: query, key and value share one copy of theirs in memory."""
    return next(_weight_name(other) for other in linears if other.input is linear.input)


@dataclass(frozen=True)
class _Job:
    """One matmul: `row_tiles` tiles of output rows from `first_row` on, `tokens` tokens from `first_token` on.

    Its input is that of the linear operation `input_of`.
    """

    linear: str
    input_of: str
    slices: int
    first_row: int
    row_tiles: int
    first_token: int
    tokens: int

    def operands(self, machine: Machine) -> dict[str, tuple[str, MemRefType[Attribute]]]:
        """For each SRAM, which part of the linear operation it takes, and the region's type."""
        rows = self.row_tiles * machine.lanes
        return {
            "weights": ("weight", _type("weights", _INT8, self.row_tiles, self.slices, machine.lanes, machine.width)),
            "weight_scales": ("weight_scale", _type("weight_scales", _FLOAT32, rows)),
            "activations": ("input", _type("activations", _INT8, self.tokens, self.slices, machine.width)),
            "activation_scales": ("input_scale", _type("activation_scales", _FLOAT32, self.tokens)),
            "results": ("result", _type("results", _FLOAT32, self.tokens, rows)),
        }


def _type(memory: str, element: Attribute, *shape: int) -> MemRefType[Attribute]:
    return MemRefType(element, shape, NoneAttr(), StringAttr(memory))


def _jobs(linear: LinearOp, input_of: str, tokens: int, machine: Machine) -> Iterator[_Job]:
    rows, inputs = shape_of(linear.weight)
    slices, row_tiles = ceil(inputs / machine.width), ceil(rows / machine.lanes)
    tile = slices * machine.lanes * machine.width
    per_job = min(
        row_tiles,
        machine.half("weights") // tile,
        machine.half("weight_scales") // (4 * machine.lanes),
        machine.half("results") // (4 * machine.lanes),
    )
    name = _weight_name(linear)
    if per_job < 1:
        raise CodesignError(_too_small(name, machine, slices))
    fitting = min(
        machine.tokens,
        machine.half("activations") // (slices * machine.width),
        machine.half("activation_scales") // 4,
        machine.half("results") // (4 * machine.lanes * per_job),
    )
    if fitting < 1:
        raise CodesignError(_too_small(name, machine, slices))
    for first_tile in range(0, row_tiles, per_job):
        for first_token in range(0, tokens, fitting):
            yield _Job(
                name,
                input_of,
                slices,
                first_tile * machine.lanes,
                min(per_job, row_tiles - first_tile),
                first_token,
                min(fitting, tokens - first_token),
            )


def _too_small(name: str, machine: Machine, slices: int) -> str:
    """What one row tile and one token of a linear operation need, against half of each SRAM."""
    needed = {
        "weights": slices * machine.lanes * machine.width,
        "weight_scales": 4 * machine.lanes,
        "activations": slices * machine.width,
        "activation_scales": 4,
        "results": 4 * machine.lanes,
    }
    both = {role: 2 * ceil(need / machine.grain(role)) * machine.grain(role) for role, need in needed.items()}
    short = [
        f"@{machine.srams[role].name} needs {need} bytes and has {machine.srams[role].nbytes} "
        f"(short by {need - machine.srams[role].nbytes})"
        for role, need in both.items()
        if need > machine.srams[role].nbytes
    ]
    return f"lower-to-microcode: @{name}, double-buffered, does not fit: {'; '.join(short)}"


@dataclass
class _Writer:
    """Writes jobs as regions and instructions; allocates off-chip memory in order, aligned to beats."""

    machine: Machine
    block: Block = field(default_factory=Block)
    used: int = 0
    stored: dict[tuple[object, ...], SSAValue] = field(default_factory=dict[tuple[object, ...], SSAValue])
    instructions: list[Instruction] = field(default_factory=list[Instruction])

    def write(self, jobs: list[_Job]) -> None:
        """Software-pipelined over one job: multiply, store the last results, load the next operands."""
        operands = [self._operands(job, half=index % 2) for index, job in enumerate(jobs)]
        self._load(jobs[0], operands[0])
        for index, o in enumerate(operands):
            self.instructions.append(
                MatmulOp(
                    o["activations"],
                    o["activation_scales"],
                    o["weights"],
                    o["weight_scales"],
                    o["results"],
                    wait=("dma", "matmul"),
                )
            )
            if index > 0:
                # The multiplication just issued waited for the one before: its results stand.
                self._store(jobs[index - 1], operands[index - 1])
            if index + 1 < len(jobs):
                self._load(jobs[index + 1], operands[index + 1])
        self._store(jobs[-1], operands[-1], wait=("matmul",))
        self.instructions.append(HaltOp(wait=("dma", "matmul")))
        self.block.add_ops(self.instructions)
        self._check_limits()

    def _operands(self, job: _Job, *, half: int) -> dict[str, SSAValue]:
        regions = {
            role: RegionOp(half * self.machine.half(role), type)
            for role, (_, type) in job.operands(self.machine).items()
        }
        self.block.add_ops(regions.values())
        return {role: region.result for role, region in regions.items()}

    def _load(self, job: _Job, operands: dict[str, SSAValue]) -> None:
        for role, (part, _) in job.operands(self.machine).items():
            if part != "result":
                self.instructions.append(CopyOp(self._memory(job, role), operands[role]))

    def _store(self, job: _Job, operands: dict[str, SSAValue], wait: tuple[str, ...] = ()) -> None:
        self.instructions.append(CopyOp(operands["results"], self._memory(job, "results"), wait))

    def _memory(self, job: _Job, role: str) -> SSAValue:
        """The off-chip region of one part of a job's linear operation; jobs that share it share the region."""
        part, type = job.operands(self.machine)[role]
        is_input = part.startswith("input")
        linear = job.input_of if is_input else job.linear
        first_row = 0 if is_input else job.first_row
        first_token = 0 if part.startswith("weight") else job.first_token
        # Operations that share an input may take it in blocks of different numbers of tokens.
        key = (linear, part, first_row, first_token, type)
        if key not in self.stored:
            region = RegionOp(
                self.used,
                _type(MEMORY, type.element_type, *type.get_shape()),
                linear=linear,
                part=part,
                first_row=first_row,
                first_token=first_token,
            )
            region.result.name_hint = f"{linear.rpartition('.')[2]}_{part}"
            self.used += ceil(nbytes(type) / self.machine.port) * self.machine.port
            self.block.add_op(region)
            self.stored[key] = region.result
        return self.stored[key]

    def _check_limits(self) -> None:
        for what, needed, available in (
            ("bytes of off-chip memory", self.used, self.machine.memory_bytes),
            ("instructions", len(self.instructions), self.machine.microcode),
        ):
            if needed > available:
                raise CodesignError(
                    f"lower-to-microcode: the program needs {needed} {what}; the chip has {available} "
                    f"(short by {needed - available})"
                )
