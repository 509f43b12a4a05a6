"""What number formats, methods and sparsity do to SmolLM2-135M: one table, one run.

    python benchmarks/formats_table.py .models/smollm2-135m-instruct

Bits are those that the IR states for the weights of linear operations, scales and indices included. Perplexity and KL
divergence (nats a token) are over Python's help topics, in windows of 512 tokens; calibration uses the text behind
them. Seconds are those of the processor that the pass took; tokens a second are decoded by the executor `numba` on one
thread, over seconds of the processor. Written as JSON with --json.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import codesign
from codesign import api
from codesign.evaluation import WINDOW, score, windows_of
from codesign.linear_weights import chosen_weights
from codesign.plugins.backend import Executor, Session
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.texts import scored_text

PIPELINES = (
    "quantize{weights=bfloat16}",
    "quantize{weights=fp8_e4m3}",
    "quantize{weights=mxfp8_e4m3}",
    "quantize{weights=int8}",
    "quantize{weights=int8 activations=int8}",
    "quantize{weights=int8 activations=int8 method=smoothquant}",
    "quantize{weights=int8 activations=int8 kv=int8}",
    "quantize{weights=mxfp6_e2m3}",
    "quantize{weights=q5_1}",
    "quantize{weights=int4 group=32}",
    "quantize{weights=int4 group=32 method=mse}",
    "quantize{weights=int4 group=32 method=awq}",
    "quantize{weights=int4 group=32 method=gptq}",
    "quantize{weights=q4_1}",
    "quantize{weights=mxfp4}",
    "quantize{weights=mxfp4 method=gptq}",
    "quantize{weights=nvfp4}",
    "quantize{weights=nvfp4 method=gptq}",
    "quantize{weights=int2 group=32 method=gptq skip=embedding}",
    "sparsify{skip=embedding}",
    "sparsify{method=wanda skip=embedding}",
    "sparsify{method=sparsegpt skip=embedding}",
    "sparsify{pattern=unstructured ratio=0.5 method=sparsegpt skip=embedding}",
    "sparsify{method=sparsegpt skip=embedding},quantize{weights=int8 skip=embedding}",
)


DECODED = 32
"""Tokens decoded to measure speed."""


class Recorded:
    """The unchanged program's logits, computed once."""

    def __init__(self, session: Session):
        self.session: Session | None = session
        self.logits: dict[tuple[int, ...], np.ndarray] = {}

    def reset(self) -> None:
        if self.session is not None:
            self.session.reset()

    def step(self, tokens: list[list[int]], *, keep: int = 1) -> np.ndarray:
        key = tuple(tokens[0])
        if key not in self.logits:
            assert self.session is not None
            self.logits[key] = self.session.step(tokens, keep=keep).copy()
        return self.logits[key]


def bits_a_weight(program: Program) -> float:
    """Stored bits over the weights of linear operations."""
    parameters = [program.parameters[name] for name in chosen_weights(program.module, ())]
    values = sum(int(np.prod(parameter.type.get_shape())) for parameter in parameters)
    return 8 * sum(parameter.nbytes for parameter in parameters) / values


def decode_speed(program: Program) -> float:
    """Tokens over seconds of the processor, after a prompt of 32; the first two tokens compile and warm caches."""
    session = plugins().backend(Executor, "numba").session(program, context=32 + 2 + DECODED)
    session.step([list(range(100, 132))])
    for token in (1, 2):
        session.step([[token]])
    start = time.process_time()
    for token in range(DECODED):
        session.step([[token]])
    return DECODED / (time.process_time() - start)


def measured(model: Program, pipeline: str, windows: list[list[int]], reference: Recorded) -> dict[str, object]:
    start = time.process_time()
    program = api.compile(model, None, pipeline)
    seconds = time.process_time() - start
    session = plugins().backend(Executor).session(program, context=WINDOW)
    result = score(session, windows, reference=reference)
    return {
        "pipeline": pipeline,
        "bits": bits_a_weight(program),
        "seconds": seconds,
        "tokens_per_second": decode_speed(program),
        **result.to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a Hugging Face folder or a .gguf file")
    parser.add_argument("-p", "--pipeline", action="append", help="in place of those of the table; may be repeated")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = codesign.load_model(options.model)
    windows = windows_of(api.encode(model, scored_text())[: options.tokens], WINDOW)
    reference = Recorded(plugins().backend(Executor).session(model, context=WINDOW))
    unchanged = score(reference, windows)
    reference.session = None
    print("| pipeline | bits a weight | perplexity | change | KL | top-1 | pass, s | decode, tokens/s |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| | {bits_a_weight(model):.2f} | {unchanged.perplexity:.3f} | | | | | {decode_speed(model):.0f} |", flush=True
    )
    rows = []
    for pipeline in options.pipeline or PIPELINES:
        row = measured(model, pipeline, windows, reference)
        change = row["perplexity"] / unchanged.perplexity - 1
        print(
            f"| `{pipeline}` | {row['bits']:.2f} | {row['perplexity']:.3f} | {change:+.2%} | "
            f"{row['kl_divergence']:.4f} | {row['top_1_agreement']:.1%} | {row['seconds']:.0f} | "
            f"{row['tokens_per_second']:.0f} |",
            flush=True,
        )
        rows.append(row)
    if options.json:
        options.json.write_text(json.dumps({"unchanged": unchanged.to_dict(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
