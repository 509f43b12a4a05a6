"""How busy a decode token keeps an emitted chip's matmul unit and its memory port, from its exact cycles.

Run: python benchmarks/chip_utilisation.py MODEL [--chip edge-hbm] [--positions 16,128,250]
"""

import argparse

from rich.console import Console
from rich.table import Table

import codesign
from codesign import api
from codesign.plugins.backend import CycleModel
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.units.machine import Machine
from codesign_dialects.transformer import LinearOp, RepeatOp
from codesign_dialects.transformer.shapes import shape_of

PIPELINE = "quantize{weights=int8 activations=int8},block-attention{keys=128}"


def products(program: Program) -> int:
    """Multiply-accumulates of a token's linear operations."""
    layers = sum(len(list(op.layers)) for op in program.step.walk() if isinstance(op, RepeatOp))
    total = 0
    for op in program.module.walk():
        if isinstance(op, LinearOp):
            rows, inputs = shape_of(op.weight)
            total += rows * inputs * (1 if op.parent_op() is program.step else layers)
    return total


def main() -> None:
    """Print the table."""
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
    table = Table("position", "cycles of the token", "MACs used", "weights over the port")
    for position in map(int, options.positions.split(",")):
        spent = cycles(program, position, 2).total - cycles(program, position, 1).total
        busy = macs / (machine.lanes * machine.width) / spent
        port = macs / machine.memory.rate / spent
        table.add_row(str(position), f"{spent:,}", f"{busy:.1%}", f"{port:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
