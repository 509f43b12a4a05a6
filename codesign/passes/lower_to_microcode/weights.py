"""The commands that load weights and multiply by them.

Streamed weights go through a ring: for each job the load queue takes a credit of the matmul queue, for a slot, and
gives it one, for the weights there; the matmul queue the other way round. A layer's jobs begin at slot 0, so that slots
are known while lowering; empty jobs, a credit there and back, fill the ring up at a layer's end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from xdsl.ir import Operation

from codesign.passes.lower_to_microcode.allocation import Allocator, Content
from codesign.passes.lower_to_microcode.index import Index, add, loop, move, multiply, remainder
from codesign.passes.lower_to_microcode.values import Activations
from codesign.passes.lower_to_microcode.weight_plan import Group, Plan, Weight, job_beats
from codesign.units.machine import LOADED, Machine
from codesign_dialects.microcode import MEMORY, FieldValue, IssueOp, SyncOp, Term

UNROLLED = 4
"""Jobs that are written out; more are a loop."""

MOST_BEATS = (1 << 16) - 1
"""Beats of the longest load."""


def load_all(allocator: Allocator, image: Term, role: str, destination: Term, nbytes: int) -> None:
    """Loads of a whole region, as few as the length of a load allows."""
    beats = ceil(nbytes / allocator.machine.port)
    for first in range(0, beats, MOST_BEATS):
        load(role, move(image, first), move(destination, first), min(MOST_BEATS, beats - first))


def load(
    role: str, memory: Term, address: Term, beats: Index, wait: tuple[str, ...] = (), signal: tuple[str, ...] = ()
) -> None:
    """One load; both addresses count beats."""
    command: dict[str, FieldValue] = {
        "memory": memory,
        "sram": LOADED.index(role),
        "address": address,
        "beats": beats,
    }
    IssueOp("load", command, wait=wait, signal=signal)


def block_slices(machine: Machine, slices: FieldValue) -> dict[str, FieldValue]:
    """The field that a matmul command has where blocks may have scales of their own."""
    return {"block_slices": slices} if machine.block_scales else {}


@dataclass
class Weights:
    """The weights of a program, and where lowering is: the layer at hand, and the jobs of it that are written."""

    plan: Plan
    allocator: Allocator
    _layer: tuple[Index, Index] = (0, 0)
    _written: int = 0

    def __post_init__(self) -> None:
        machine, plan = self.allocator.machine, self.plan
        words = {role: machine.srams[role].word for role in LOADED}
        sizes = plan.weight_words * words["weights"], plan.scale_words * words["weight_scales"]
        slots = plan.slots or 1
        self._weights = self.allocator.buffer("weights", "weights", slots * sizes[0], plan.slots)
        self._scales = self.allocator.buffer("weight_scales", "weight_scales", slots * sizes[1], plan.slots)
        if plan.slots is None:
            self._image = self.allocator.buffer(MEMORY, "weight_image", sizes[0])
            self._scale_image = self.allocator.buffer(MEMORY, "weight_scale_image", sizes[1])
            units = words["weights"], words["weight_scales"]
        else:
            self._image = self._scale_image = self.allocator.buffer(
                MEMORY, "weight_image", plan.image_beats * machine.port
            )
            units = machine.port, machine.port
        for group in plan.groups:
            for weight in group.weights.values():
                self._note(group, weight, units)

    def _note(self, group: Group, weight: Weight, units: tuple[int, int]) -> None:
        """What the images hold of a weight; `units` are the bytes that the plan counts."""
        for kind, image, first, step, stride, unit in (
            ("weights", self._image, weight.weights, weight.weight_step, group.weight_stride, units[0]),
            ("weight_scales", self._scale_image, weight.scales, weight.scale_step, group.scale_stride, units[1]),
        ):
            details = {
                "first_layer": group.layers.start,
                "job_rows": weight.job_tiles * self.allocator.machine.lanes,
                "job_stride": step * unit,
            }
            content = Content(
                image, kind, first * unit, weight.parameter, weight.rows, len(group.layers), stride * unit, details
            )
            self.allocator.contents.append(content)

    def begin(self) -> None:
        """Before all else: load the weights that stay, or give the credits of the empty slots."""
        if self.plan.slots is not None:
            with loop(self.plan.slots):
                SyncOp("matmul", signal=["load"])
            return
        srams = self.allocator.machine.srams
        words = self.plan.weight_words, self.plan.scale_words
        places = (self._image, self._weights), (self._scale_image, self._scales)
        for role, count, (image, place) in zip(LOADED, words, places, strict=False):
            load_all(self.allocator, image, role, place, count * srams[role].word)

    def begin_layer(self, op: Operation, counter: Index) -> None:
        """Before the weights of one run of `op`: a repeat's layer `counter`, or one weight outside of any."""
        group = next(group for group in self.plan.groups if group.op is op)
        weights = multiply(counter, group.weight_stride)
        same = group.weight_stride == group.scale_stride
        self._layer = weights, weights if same else multiply(counter, group.scale_stride)
        self._written = 0

    def end_layer(self) -> None:
        """After them."""
        for _ in range(-self._written % (self.plan.slots or 1)):
            SyncOp("load", wait=["matmul"], signal=["matmul"])
            SyncOp("matmul", wait=["load"], signal=["load"])

    def of(self, linear: Operation) -> Weight:
        """The weight of a linear operation."""
        return next(group.weights[linear] for group in self.plan.groups if linear in group.weights)

    def multiply(
        self, weight: Weight, activations: Activations, result: Term, tokens: Index, jobs: range | None = None
    ) -> None:
        """Write the jobs of `weight`, all or some; `result` takes their row tiles, those of a token side by side."""
        jobs = range(weight.jobs) if jobs is None else jobs
        groups = self.allocator.machine.groups
        tiles = sum(weight.tiles_of(job) for job in jobs)
        credits = [] if self.plan.slots is None else ["load"]
        for number, row_tiles in self._each(weight, jobs):
            operand, scales = self._operands(weight, jobs.start, number, row_tiles)
            IssueOp(
                "matmul",
                {
                    "activation": activations.integers,
                    "activation_scale": activations.scales,
                    "weight": operand,
                    "weight_scale": scales,
                    "result": move(result, multiply(number, weight.job_tiles * groups)),
                    "result_stride": tiles * groups,
                    "weight_stride": weight.slices,
                    "k_slices": weight.slices,
                    "row_tiles": row_tiles,
                    "tokens": tokens,
                    "source": 0,
                    **block_slices(self.allocator.machine, weight.slices // weight.blocks),
                },
                wait=credits,
                signal=credits,
            )
        self._written += len(jobs)

    def _each(self, weight: Weight, jobs: range) -> Iterator[tuple[Index, int]]:
        """The number of each of `jobs`, from 0, and its row tiles.

        The last is never in a loop: its end is that of them all.
        """
        looped = len(jobs) - 1 if len(jobs) > UNROLLED else 0
        if looped:
            with loop(looped) as number:
                yield number, weight.job_tiles
        for number in range(looped, len(jobs)):
            yield number, weight.tiles_of(jobs[number])

    def _operands(self, weight: Weight, first: int, number: Index, row_tiles: int) -> tuple[Term, Term]:
        """Where a job's weights and scales are on the chip, once they are loaded."""
        weights, scales = (
            add(add(multiply(number, step), start + first * step), layer)
            for start, step, layer in (
                (weight.weights, weight.weight_step, self._layer[0]),
                (weight.scales, weight.scale_step, self._layer[1]),
            )
        )
        if self.plan.slots is None:
            return move(self._weights, weights), move(self._scales, scales)
        machine = self.allocator.machine
        slot = remainder(add(number, self._written), self.plan.slots)
        beats = job_beats(row_tiles, weight.slices, weight.blocks, machine)
        slot_words = self.plan.weight_words, self.plan.scale_words
        slot_beats = [
            words * machine.srams[role].word // machine.port for words, role in zip(slot_words, LOADED, strict=False)
        ]
        load(
            "weights",
            move(self._image, weights),
            move(self._weights, multiply(slot, slot_beats[0])),
            beats[0],
            wait=("matmul",),
        )
        load(
            "weight_scales",
            move(self._image, scales),
            move(self._scales, multiply(slot, slot_beats[1])),
            beats[1],
            signal=("matmul",),
        )
        return move(self._weights, multiply(slot, slot_words[0])), move(self._scales, multiply(slot, slot_words[1]))
