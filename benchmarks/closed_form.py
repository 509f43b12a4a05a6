"""The cost model's closed form of emitted chips beside their exact cycles, as docs/cost-model.md shows it.

Run from the root: python benchmarks/closed_form.py [--smollm2 FOLDER]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from codesign import api
from codesign.plugins.backend import CycleModel
from codesign.plugins.manager import plugins
from codesign.program import Program
from tests.codesign_cost.test_emitted import CHIPS, QUANTIZE, closed

TOKENS = 8


def row(name: str, program: Program, prompt: int) -> str:
    """Exact cycles of the first token and of one behind it, and how far off the closed form is."""
    microcode = api.compile(program, None, api.MICROCODE_PASSES)
    cycles = plugins().backend(CycleModel).cycles
    exact = cycles(microcode, prompt, 1).total, cycles(microcode, prompt, 1 + TOKENS).total
    ours = closed(program, prompt, 1), closed(program, prompt, 1 + TOKENS)
    token, own = (exact[1] - exact[0]) / TOKENS, (ours[1] - ours[0]) / TOKENS
    first = f"{exact[0]:,} | {ours[0] / exact[0] - 1:+.1%}"
    return f"| {name} | {prompt} | {first} | {token:,.0f} | {own / token - 1:+.1%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2", type=Path, help="a folder with SmolLM2-135M")
    options = parser.parse_args()
    print("| chip | prompt | cycles to the first token | closed form | a token behind it | closed form |")
    print("|---|---:|---:|---:|---:|---:|")
    model = api.load_model("embedded")
    for name, chip in CHIPS.items():
        program = api.compile(model, chip(), QUANTIZE)
        for prompt in (8, 64):
            print(row(name, program, prompt), flush=True)
    if options.smollm2 is None:
        return
    model = api.load_model(options.smollm2)
    for name in ("edge-hbm", "edge"):
        program = api.compile(model, api.load_chip(name), QUANTIZE)
        print(row(f"{name}, SmolLM2-135M", program, 8), flush=True)


if __name__ == "__main__":
    main()
