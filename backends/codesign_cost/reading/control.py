"""What operations are done how often: layers that repeat, loops, and what costs nothing."""

import numpy as np
from xdsl.dialects import arith, func, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Operation

from codesign_cost.demand import Collective
from codesign_cost.reading.reader import Reader, Readers
from codesign_dialects import transformer
from codesign_dialects.transformer.shapes import features


def read_nothing(reader: Reader, op: Operation) -> None:
    """Constants, parameters and returns cost nothing."""


def read_constant(reader: Reader, op: Operation) -> None:
    """Whole numbers are indices of what follows."""
    assert isinstance(op, arith.ConstantOp)
    if isinstance(op.value, IntegerAttr):
        reader.indices[op.result] = np.full_like(reader.past, op.value.value.data)


def read_repeat(reader: Reader, op: Operation) -> None:
    """A layer's operations run as often as there are such layers."""
    assert isinstance(op, transformer.RepeatOp)
    block = reader.functions[op.layer.string_value()].body.block
    streams = [operand for operand in op.operands if operand in reader.tensors]
    if streams:  # what a stage of a pipeline hands to the next
        elements = reader.rows(reader.tensor(streams[0])) * features(streams[0])
        reader.items.append(Collective("send", reader.repeat, elements, "send"))
    _, *arguments = block.args
    for argument, operand in zip(arguments, op.operands, strict=True):
        reader.copy(operand, argument)
    outer, opened = reader.repeat, reader.opened
    reader.repeat, reader.opened = outer * len(op.layers), set()
    reader.block(block)
    reader.repeat, reader.opened = outer, opened
    returned = block.last_op
    assert isinstance(returned, func.ReturnOp)
    for value, result in zip(returned.operands, op.outputs, strict=True):
        reader.copy(value, result)


def read_loop(reader: Reader, op: Operation) -> None:
    """Operations of a loop run as often as it goes round."""
    assert isinstance(op, scf.ForOp)
    bounds = [reader.index(op, value) for value in (op.lb, op.ub, op.step)]
    outer = reader.iterations
    # Blocks of keys within blocks of queries are counted in the mean, which is no whole number.
    steps = (bounds[1] - bounds[0]) / bounds[2]
    reader.iterations = outer * np.maximum(np.where(bounds[2] == 1, steps, np.ceil(steps)), 0)
    block = op.body.block
    reader.indices[block.args[0]] = bounds[0]
    for argument, operand in zip(block.args[1:], op.iter_args, strict=True):
        reader.copy(operand, argument)
    reader.block(block)
    reader.iterations = outer
    for result, operand in zip(op.res, op.iter_args, strict=True):
        reader.copy(operand, result)


def read_split(reader: Reader, op: Operation) -> None:
    """Parts of a tensor have its tokens."""
    assert isinstance(op, transformer.SplitOp)
    for part in op.parts:
        reader.copy(op.input, part)


READERS: Readers = {
    arith.ConstantOp: read_constant,
    func.ReturnOp: read_nothing,
    scf.YieldOp: read_nothing,
    scf.ForOp: read_loop,
    transformer.GetOp: read_nothing,
    transformer.MapPagesOp: read_nothing,
    transformer.RepeatOp: read_repeat,
    transformer.SplitOp: read_split,
}
