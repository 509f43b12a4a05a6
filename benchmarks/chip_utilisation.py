"""How busy an emitted chip's matmul unit and its memory port are, from exact cycles: the unit alone on each product of
a layer, one behind the other, and a whole decode token.

Run: python benchmarks/chip_utilisation.py MODEL [--chip edge-hbm] [--positions 16,128,250]
"""

import argparse
from math import ceil

from rich.console import Console
from rich.table import Table

import codesign
from codesign import api
from codesign.linear_weights import weight_name
from codesign.plugins.backend import CycleModel
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units.machine import Machine
from codesign.units.matmul import MATMUL
from codesign_dialects.transformer import LinearOp, RepeatOp
from codesign_dialects.transformer.shapes import shape_of

PIPELINE = "quantize{weights=int8 activations=int8},block-attention{keys=256}"


def products(program: Program) -> int:
    """Multiply-accumulates of a token's linear operations."""
    layers = sum(len(list(op.layers)) for op in program.step.walk() if isinstance(op, RepeatOp))
    total = 0
    for op in program.module.walk():
        if isinstance(op, LinearOp):
            rows, inputs = shape_of(op.weight)
            total += rows * inputs * (1 if op.parent_op() is program.step else layers)
    return total


def alone(program: Program, machine: Machine) -> Table:
    """The unit on each product of the model, a command behind another of its shape: for one token, and for as many as
    are in flight."""
    table = Table("product", "inputs × outputs", "one token", f"{machine.tokens} tokens")
    for name, (rows, inputs) in shapes(program).items():
        slices, tiles = ceil(inputs / machine.width), ceil(rows / machine.lanes)
        cells = [name, f"{inputs} × {rows}"]
        for tokens in (1, machine.tokens):
            command = {"k_slices": slices, "row_tiles": tiles, "tokens": tokens}
            clock = MATMUL.clock(machine)
            clock(0, command)
            cycles = clock(0, command).accepted
            cells.append(f"{rows * inputs * tokens / (machine.lanes * machine.width) / cycles:.1%}")
        table.add_row(*cells)
    return table


def shapes(program: Program) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of the weights of linear operations."""
    linear = [op for op in program.module.walk() if isinstance(op, LinearOp)]
    return {weight_name(op.weight) or "": shape_of(op.weight) for op in linear}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--chip", default="edge-hbm")
    parser.add_argument("--positions", default="16,128,250")
    options = parser.parse_args()
    chip = codesign.load_chip(options.chip)
    machine = Machine.of(chip.design)
    model = api.compile(codesign.load_model(options.model), chip, PIPELINE)
    macs = products(model)
    program = api.compile(model, None, api.MICROCODE_PASSES)
    cycles = plugins().backend(CycleModel).cycles
    Console().print(alone(model, machine))
    table = Table(
        "position", "cycles of the token", "MACs used", "weights over the port", "busy: load", "matmul", "vector"
    )
    for position in map(int, options.positions.split(",")):
        after, before = cycles(program, position, 2), cycles(program, position, 1)
        spent = after.total - before.total
        queues = [(after.queues[name].busy - before.queues[name].busy) / spent for name in ("load", "matmul", "vector")]
        busy = macs / (machine.lanes * machine.width) / spent
        port = macs / machine.memory.rate / spent
        table.add_row(str(position), f"{spent:,}", f"{busy:.1%}", f"{port:.1%}", *(f"{queue:.1%}" for queue in queues))
    Console().print(table)


if __name__ == "__main__":
    main()
