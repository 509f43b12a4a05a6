"""How well a model predicts a text on an emitted chip, beside the same model in float32.

The microcode executor computes what the chip does, bit for bit (docs/chip.md). It generates from the text's own tokens:
each one that it finds is replaced by the text's next before it is read.

Run: python benchmarks/chip_accuracy.py MODEL [--chip edge] [--tokens 512] [--window 128] [--text FILE]
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np

import codesign
from codesign import api
from codesign.api import tokenizer_of
from codesign.evaluation import score, windows_of
from codesign.microcode.executor import generate
from codesign.microcode.flatten import flatten
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.texts import scored_text
from codesign.units.machine import Machine
from codesign.units.memories import Memories
from codesign.units.record import Command, Writes
from codesign.units.vector import read_space
from codesign_dialects.microcode import ProgramOp
from codesign_verilog.images import build_image

PIPELINE = "quantize{weights=int8 activations=int8},block-attention{keys=128}"


class OnChip:
    """A session that scores whole windows: the logits that reach the chip's argmax unit."""

    def __init__(self, program: Program):
        chip = codesign.chips.chip_of(program.module)
        assert chip is not None
        (microcode,) = [op for op in program.module.ops if isinstance(op, ProgramOp)]
        self.machine, self.microcode = Machine.of(chip.design), microcode
        self.image = build_image(microcode, program, self.machine)
        self.window: Sequence[int] = ()
        self.heard: list[np.ndarray] = []
        units = dict(plugins().units())
        self.argmax = units["argmax"]
        self.units = units | {"argmax": replace(self.argmax, execute=self._listen)}
        self.queues = flatten(microcode, self.units, self.machine)

    def reset(self) -> None:
        """Every step begins anew."""

    def step(self, tokens: Sequence[Sequence[int]], *, keep: int = 1) -> np.ndarray:
        """Logits ``[1, tokens, vocabulary]`` of one window."""
        (self.window,) = tokens
        self.heard = []
        memories = Memories.of(self.machine, self.image)
        generate(self.queues, self.units, memories, self.window[:1], len(self.window))
        return np.array(self.heard)[None]

    def _listen(self, command: Command, memories: Memories) -> Mapping[str, Writes]:
        words = command["source"] + np.arange(ceil(command["length"] / memories.machine.vector))
        values = read_space(memories, words).reshape(-1)[: command["length"]].copy()
        if command["first"]:
            self.heard.append(values)
        else:
            self.heard[-1] = np.concatenate([self.heard[-1], values])
        writes = self.argmax.execute(command, memories)
        if command["last"] and command["place"] < len(self.window):
            memories.tokens[command["place"]] = self.window[command["place"]]
        return writes


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--chip", default="edge")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--text", type=Path)
    options = parser.parse_args()
    model = codesign.load_model(options.model)
    program = api.compile(model, codesign.load_chip(options.chip), f"{PIPELINE},{api.MICROCODE_PASSES}")
    text = scored_text() if options.text is None else options.text.read_text(encoding="utf-8")
    windows = windows_of(tokenizer_of(model).encode(text[: 8 * options.tokens])[: options.tokens], options.window)
    reference = plugins().backend(Executor).session(model, context=options.window)
    on_chip = OnChip(program)
    found = score(on_chip, windows, reference=reference)
    reference.reset()
    exact = reference.step([windows[0]], keep=len(windows[0]))[0]
    error = on_chip.step([windows[0]])[0] - exact
    print(f"{model.name} on {options.chip}, {found.predicted} tokens predicted in windows of {options.window}:")
    print(f"perplexity {found.perplexity:.3f}, float32 {found.reference_perplexity:.3f}")
    print(f"KL divergence {found.kl_divergence:.4f} nats, likeliest token the same {found.top_1_agreement:.1%}")
    print(
        f"logits off by {np.sqrt((error**2).mean()):.3f} (root mean square) of {np.sqrt((exact**2).mean()):.3f}, "
        f"{np.abs(error).max():.2f} at most"
    )


if __name__ == "__main__":
    main()
