"""Layers that differ parted: each run of equal ones gets a function and stacked parameters of its own."""

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, SymbolRefAttr, TensorType, f32, i64
from xdsl.dialects.func import FuncOp
from xdsl.rewriter import InsertPoint, Rewriter

from codesign.linear_weights import parts_of
from codesign_dialects.transformer import GetOp, ParameterOp, RepeatOp

Run = range
"""Layers one after the other."""


def split_layers(module: ModuleOp, key: Callable[[int], Hashable]) -> None:
    """Part the layers where `key` of a layer changes.

    A stacked parameter ``layers.down`` becomes ``layers.0.down``, ``layers.1to28.down``, …, and a function that several
    runs repeat is cloned for each.
    """
    stacks = [op for op in module.ops if isinstance(op, ParameterOp) and op.stacked]
    layers = sorted({layer for op in stacks for layer in op.layers if layer is not None})
    runs = [list(run) for _, run in groupby(layers, key)]
    if len(runs) < 2:
        return
    ranges = [range(run[0], run[-1] + 1) for run in runs]
    renamed = {(op.sym_name.data, run): name for op in stacks for run, name in _split_stack(op, ranges)}
    functions: dict[tuple[str, Run], str] = {}
    for repeat in [op for op in module.walk() if isinstance(op, RepeatOp)]:
        _split_repeat(repeat, ranges, functions)
    for function in [op for op in module.ops if isinstance(op, FuncOp)]:
        own = {run: name for (called, run), name in functions.items() if called == function.sym_name.data}
        for run, name in own.items():
            clone = function.clone()
            clone.sym_name = StringAttr(name)
            for get in [op for op in clone.walk() if isinstance(op, GetOp) and op.layer is not None]:
                stack = get.parameter.string_value()
                get.parameter = SymbolRefAttr(renamed.get((stack, run), stack))
            Rewriter.insert_op(clone, InsertPoint.before(function))
        if own:
            Rewriter.erase_op(function)


def _split_stack(stack: ParameterOp, runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """Replace a stack by one for each run that it has layers of; what they are called."""
    layers = list(stack.layers)
    parts = [(run, [place for place, layer in enumerate(layers) if layer in run]) for run in runs]
    parts = [(run, own) for run, own in parts if own]
    if len(parts) < 2:
        return []
    names: list[tuple[Run, str]] = []
    prefix, last = parts_of(stack.sym_name.data)
    for run, own in parts:
        name, first = f"{prefix}.{_written(run)}.{last}", layers[own[0]]
        assert first is not None
        part = stack.clone()
        part.sym_name = StringAttr(name)
        part.type = TensorType(stack.type.element_type, (len(own), *stack.type.get_shape()[1:]), stack.type.encoding)
        part.first = IntegerAttr(first, i64) if first else None
        if stack.values is not None:
            values = stack.values.get_values()
            part.values = DenseArrayBase.from_list(f32, [values[place] for place in own])
        Rewriter.insert_op(part, InsertPoint.before(stack))
        names.append((run, name))
    Rewriter.erase_op(stack)
    return names


def _split_repeat(repeat: RepeatOp, runs: Sequence[Run], functions: dict[tuple[str, Run], str]) -> None:
    """Replace a repeat by one for each run, of the function that is to be called so in `functions`."""
    called = repeat.layer.string_value()
    carried = list(repeat.carried)
    for run in runs:
        own = range(max(run.start, repeat.layers.start), min(run.stop, repeat.layers.stop))
        if not own:
            continue
        name = functions.setdefault((called, run), f"{called}_{_written(run)}")
        part = RepeatOp(name, own.start, len(own), carried, repeat.shared)
        Rewriter.insert_op(part, InsertPoint.before(repeat))
        carried = list(part.outputs)
    Rewriter.replace_op(repeat, [], carried)


def _written(run: Run) -> str:
    return f"{run.start}" if len(run) == 1 else f"{run.start}to{run.stop - 1}"
