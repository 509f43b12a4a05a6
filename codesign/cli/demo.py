"""``codesign demo``: a model from its file to text, price and simulated Verilog."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.cost import price_table
from codesign.cli.options import Json
from codesign.cli.output import Output, as_json, progress, write_json
from codesign.cli.run import generate
from codesign.cli.simulate import verdict

if TYPE_CHECKING:
    from codesign.api import Comparison, Generation
    from codesign.program import Program

MODEL, CHIP, PIPELINE = "embedded", "edge", "quantize{weights=int8 activations=int8},block-attention"
PRICED_ON = (CHIP, "h100", "groq-lpu")
PROMPT, TOKENS, TEMPERATURE, SEED = "She had never in her life", 80, 0.6, 0
INPUT, OUTPUT = 128, 128
CHIP_TOKENS = 24


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")] = Path("codesign-demo"),
    json: Json = False,
) -> None:
    """Take a small model from its file to text, price and simulated Verilog.

    Every value of the simulated chip is compared with the executor's, its cycles with the predicted ones. Exits 1
    where they differ.
    """
    out = Output(stderr=json)
    program = _compile(out, output)
    generation = _generate(out, output, program)
    prices = _price(out, output, program)
    comparison = _simulate(out, output, program)
    out.headline("Written")
    out.line(str(output.resolve()))
    for name, content in CONTENTS.items():
        out.line(f"  {name:16} {content}", style="dim")
    if json:
        document = {"generation": generation.to_dict(), "cost": {"results": prices}, "simulation": comparison.to_dict()}
        write_json({"directory": str(output.resolve()), **document})
    if not comparison.exact:
        raise typer.Exit(1)


CONTENTS = {
    "before.mlir": "the model as imported",
    "after.mlir": "the model on the chip, after the passes",
    "text.txt": "what it wrote",
    "cost.json": "the prices",
    "chip/": "Verilog, images, testbench",
    "simulation.json": "the comparison",
}


def _compile(out: Output, folder: Path) -> "Program":
    from codesign import api

    out.headline(f"Compile the model '{MODEL}' for the chip '{CHIP}'")
    out.line(PIPELINE, style="cyan")
    model = api.load_model(MODEL)
    api.save(model, folder / "before.mlir")
    program = api.compile(model, api.load_chip(CHIP), PIPELINE)
    api.save(program, folder / "after.mlir")
    return program


def _generate(out: Output, folder: Path, program: "Program") -> "Generation":
    from codesign.files import write_whole
    from codesign.generation import Sampling

    out.headline("Generate text with the executor")
    out.write(PROMPT)
    generation = generate(program, PROMPT, max_tokens=TOKENS, sampling=Sampling(TEMPERATURE, SEED), write=out.write)
    out.line(f"{len(generation.tokens)} tokens, {generation.tokens_per_second:.0f} tokens/s", style="dim")
    write_whole(folder / "text.txt", f"{PROMPT}{generation.text}\n")
    return generation


def _price(out: Output, folder: Path, program: "Program") -> list[dict[str, object]]:
    from codesign import api
    from codesign.files import write_whole
    from codesign.workload import Workload

    out.headline("Price the same program on three chips")
    workload = Workload(1, INPUT, OUTPUT)
    prices = [api.cost(api.compile(program, api.load_chip(chip)), workload).to_dict() for chip in PRICED_ON]
    write_whole(folder / "cost.json", as_json({"results": prices}))
    out.show(price_table(prices))
    out.line(f"one sequence, {INPUT} tokens in, {OUTPUT} out", style="dim")
    return prices


def _simulate(out: Output, folder: Path, program: "Program") -> "Comparison":
    from codesign import api
    from codesign.files import write_whole

    out.headline(f"Emit the chip as Verilog and let it generate {CHIP_TOKENS} tokens in a simulator")
    with progress("emitting, building and simulating"):
        comparison = api.simulate(api.emit(program, folder / "chip", prompt=PROMPT, max_tokens=CHIP_TOKENS))
    out.line(PROMPT + api.tokenizer_of(program).decode(comparison.simulation.tokens))
    write_whole(folder / "simulation.json", as_json(comparison.to_dict()))
    out.line(verdict(comparison), style="green" if comparison.exact else "bold red")
    return comparison
