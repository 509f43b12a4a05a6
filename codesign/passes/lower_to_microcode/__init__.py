"""``lower-to-microcode``: a decoder as the program of an emitted chip, in program order; ``schedule`` makes queues of
it."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, ModuleOp
from xdsl.passes import ModulePass

from codesign.chips import chip_of
from codesign.errors import CodesignError
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.transformer import KVCacheType


@dataclass(frozen=True)
class LowerToMicrocodePass(ModulePass):
    """Write ``microcode.program @generate``: the prompt in blocks of up to `tokens` (all that the matmul unit keeps in
    flight when not given), then a token at a time.

    `context` positions have a place on the chip: by default as many as the model has and the chip's token memory holds.
    """

    name = "lower-to-microcode"

    tokens: int | None = None
    context: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Add the program to the module."""
        from codesign.passes.lower_to_microcode.generation import lower_decoder

        chip = chip_of(op)
        if chip is None:
            raise CodesignError("lower-to-microcode: the program names no chip; compile it for one")
        batch = Program(op).batch
        if batch not in (None, 1):
            raise CodesignError(f"lower-to-microcode: the program is specialized to batch={batch}; the chip runs 1")
        plan = Program(op).plan
        if plan is not None and plan.chips > 1:
            raise CodesignError(f"lower-to-microcode: the program is sharded over {plan.chips} chips; expected one")
        machine = Machine.of(chip.design)
        tokens = machine.tokens if self.tokens is None else self.tokens
        if not 1 <= tokens <= machine.tokens:
            raise CodesignError(
                f"lower-to-microcode: tokens={tokens}; the matmul unit of @{machine.name} keeps 1 to {machine.tokens} "
                "in flight"
            )
        op.body.block.add_op(lower_decoder(op, machine, tokens, self._context(op, machine)))

    def _context(self, module: ModuleOp, machine: Machine) -> int:
        type = Program(module).step.body.block.args[-1].type
        assert isinstance(type, KVCacheType)
        own = type.context.data
        most = machine.context if own == DYNAMIC_INDEX else min(own, machine.context)
        if self.context is None:
            return most
        if not 1 <= self.context <= most:
            raise CodesignError(
                f"lower-to-microcode: context={self.context}; 1 to {most} can be had: the model's are "
                f"{'any' if own == DYNAMIC_INDEX else own}, the token memory of @{machine.name} holds {machine.context}"
            )
        return self.context
