"""The loops that generate text: the prompt in blocks without the head, then a token at a time with it."""

from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from codesign.errors import CodesignError
from codesign.passes.lower_to_microcode.index import add, divide, loop, minimum, multiply, register, subtract
from codesign.passes.lower_to_microcode.kernels import rows_in
from codesign.passes.lower_to_microcode.lowering import Lowering
from codesign.passes.lower_to_microcode.operations import LOWERINGS, is_head
from codesign.passes.lower_to_microcode.tables import Tokens
from codesign.passes.lower_to_microcode.values import vector
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.microcode import ProgramOp, SyncOp
from codesign_dialects.transformer import RotaryOp
from codesign_dialects.transformer.shapes import features

PROGRAM = "generate"


def lower_decoder(module: ModuleOp, machine: Machine, tokens: int, context: int) -> ProgramOp:
    """The program that generates text, for `context` positions in all, its prompt in blocks of up to `tokens`.

    Raises
    ------
    CodesignError
        When an operation has no microcode, or something does not fit the chip.
    """
    if not any(is_head(op) for op in Program(module).step.body.block.ops):
        raise CodesignError(
            "lower-to-microcode: the step returns what no transformer.linear makes; logits are expected"
        )
    program = ProgramOp(PROGRAM)
    lowering = Lowering(module, machine, context, LOWERINGS)
    block = program.body.block
    with ImplicitBuilder(block):
        lowering.weights.begin()
        _generate(lowering, program.prompt_length, program.max_tokens, tokens)
    first = block.first_op
    assert first is not None
    block.insert_ops_before([*lowering.allocator.place(), *_detached(lowering)], first)
    return program


def _generate(lowering: Lowering, prompt_length: SSAValue, max_tokens: SSAValue, most: int) -> None:
    last = subtract(prompt_length, 1)
    with loop(divide(add(last, most - 1), most, lowering.context + most)) as number:
        first = register(multiply(number, most))
        count = 1 if most == 1 else minimum(subtract(last, first), most)
        _step(lowering, Tokens(count, most, first), head=False)
        # A command behind all that read the rows of these tokens tells that the next ones' may be loaded: a sync would
        # not wait for the commands before it.
        marker = rows_in(lowering.allocator, "block_end", 1, 1, shared=True)
        vector("multiply", marker, marker, 1, 1.0, signal=("load",))
        SyncOp("load", wait=["vector"])
    with loop(max_tokens) as number:
        _step(lowering, Tokens(1, 1, register(add(last, number))), head=True)
        # The command that finds the token gives the credit.
        SyncOp("load", wait=["vector"])


def _step(lowering: Lowering, tokens: Tokens, *, head: bool) -> None:
    lowering.tokens = tokens
    lowering.values = {lowering.step.args[-1]: lowering.cache}
    for size, theta in _rotations(lowering.module):
        lowering.tables.load_rotary(size, theta, tokens)
    lowering.lower(lowering.step, head=head)


def _rotations(module: ModuleOp) -> list[tuple[int, float]]:
    """Head size and theta of every kind of rotation."""
    rotations = [op for op in module.walk() if isinstance(op, RotaryOp)]
    return sorted({(features(op.input) // op.heads.value.data, op.theta.value.data) for op in rotations})


def _detached(lowering: Lowering) -> list[Operation]:
    """The loads of what stays on the chip."""
    loads = list(lowering.tables.preamble.ops)
    for op in loads:
        op.detach()
    return loads
