"""What number formats, methods and sparsity do to SmolLM2-135M: one table, one run.

    python benchmarks/formats_table.py .models/smollm2-135m-instruct --json table.json

Bits are those that the IR states for the weights of linear operations, scales and indices included. Perplexity and KL
divergence (nats a token) are over Python's help topics, in windows of 512 tokens; calibration uses the text behind
them. Seconds are those of the processor that the pass took. Decode is a ratio to float32: tokens over seconds of the
processor of the executor `numba` on one thread, some tokens of either in turn. Rows that the file of --json holds
already are not measured again; --quick takes a few rows and 512 tokens.
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
from codesign.files import write_whole
from codesign.linear_weights import chosen_weights
from codesign.plugins.backend import Executor, Session
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.texts import scored_text

NEAREST = ("",)
BY_DATA = ("", " method=mse", " method=gptq", " method=awq")
FORMATS = {
    "float16": NEAREST,
    "bfloat16": NEAREST,
    "fp8_e4m3": NEAREST,
    "fp8_e5m2": NEAREST,
    "mxfp8_e4m3": NEAREST,
    "mxfp8_e5m2": NEAREST,
    "mxint8": NEAREST,
    "int8": BY_DATA,
    "int8 activations=int8": ("", " method=smoothquant", " method=gptq", " kv=int8"),
    "int8 activations=int8 static=true": ("", " method=smoothquant"),
    "fp8_e4m3 activations=fp8_e4m3": ("", " static=true"),
    "mxfp6_e2m3": NEAREST,
    "mxfp6_e3m2": NEAREST,
    "q8_0": NEAREST,
    "q5_1": NEAREST,
    "q5_0": NEAREST,
    "q4_1": NEAREST,
    "q4_0": NEAREST,
    'q4_1 override="embedding=q8_0"': NEAREST,
    'q5_0 override="embedding=q8_0","layers.down=q4_k"': NEAREST,
    "int4 group=32": BY_DATA,
    'int4 group=32 override="embedding=int8"': (" method=gptq",),
    'int4 group=32 override="embedding=int8","layers.0.*=int8","layers.29.*=int8"': (" method=gptq",),
    "mxfp4": BY_DATA,
    "nvfp4": BY_DATA,
    "int2 group=32 skip=embedding": BY_DATA,
    "ternary group=32 skip=embedding": BY_DATA,
}
"""Formats of weights with the methods that choose their rounding."""

SPARSITIES = (
    "sparsify{skip=embedding}",
    "sparsify{method=wanda skip=embedding}",
    "sparsify{method=sparsegpt skip=embedding}",
    "sparsify{pattern=unstructured ratio=0.5 method=sparsegpt skip=embedding}",
)
OF_SPARSE = (
    "int8 skip=embedding",
    "int4 group=32 method=mse skip=embedding",
    "int4 group=32 method=gptq skip=embedding",
)
"""Formats of what the best of two in four leaves."""

STATIC = "quantize{weights=int8 activations=int8 static=true"
ROTATED = (
    "rotate",
    "rotate,quantize{weights=int8 activations=int8}",
    f"rotate,{STATIC}}}",
    f'{STATIC} skip="layers.down"}}',
    f'rotate,{STATIC} skip="layers.down"}}',
    "quantize{weights=int8 activations=int4}",
    "rotate,quantize{weights=int8 activations=int4}",
    "rotate,quantize{weights=int4 group=32}",
)
"""What a rotated residual stream does to activations, and what it does not to weights."""

PIPELINES = (
    *(f"quantize{{weights={weights}{method}}}" for weights, methods in FORMATS.items() for method in methods),
    *ROTATED,
    *SPARSITIES,
    *(f"{SPARSITIES[2]},quantize{{weights={weights}}}" for weights in OF_SPARSE),
)
QUICK = ("quantize{weights=int8}", "quantize{weights=int4 group=32}", SPARSITIES[0])

TURNS, DECODED = 4, 8
"""How often float32 and the other take turns, and the tokens that each decodes in its own."""


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


class Decoding:
    """A program that decodes behind a prompt of 32 tokens; the first two tokens compile and warm caches."""

    def __init__(self, program: Program):
        self.session = plugins().backend(Executor, "numba").session(program, context=32 + 2 + DECODED)
        self.decode(2)

    def decode(self, count: int) -> float:
        """Seconds of the processor that `count` tokens take."""
        self.session.reset()
        self.session.step([list(range(100, 132))])
        start = time.process_time()
        for token in range(count):
            self.session.step([[token]])
        return time.process_time() - start


def decode_ratio(program: Program, float32: Decoding) -> float:
    """How many times as fast as float32 a program decodes."""
    own = Decoding(program)
    turns = [(float32.decode(DECODED), own.decode(DECODED)) for _ in range(TURNS)]
    theirs, ours = (sum(seconds) for seconds in zip(*turns, strict=True))
    return theirs / ours


def measured(
    model: Program, pipeline: str, windows: list[list[int]], reference: Recorded, float32: Decoding
) -> dict[str, object]:
    start = time.process_time()
    program = api.compile(model, None, pipeline)
    seconds = time.process_time() - start
    session = plugins().backend(Executor).session(program, context=WINDOW)
    result = score(session, windows, reference=reference)
    del session
    return {
        "pipeline": pipeline,
        "bits": bits_a_weight(program),
        "seconds": seconds,
        "decode_ratio": decode_ratio(program, float32),
        **result.to_dict(),
    }


def line(row: dict[str, object]) -> str:
    """A row of the table."""
    change = row["perplexity"] / row["reference_perplexity"] - 1
    return (
        f"| `{row['pipeline']}` | {row['bits']:.2f} | {row['perplexity']:.3f} | {change:+.2%} | "
        f"{row['kl_divergence']:.4f} | {row['top_1_agreement']:.1%} | {row['seconds']:.0f} | "
        f"{row['decode_ratio']:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a Hugging Face folder or a .gguf file")
    parser.add_argument("-p", "--pipeline", action="append", help="in place of those of the table; may be repeated")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = codesign.load_model(options.model)
    tokens = WINDOW if options.quick else options.tokens
    windows = windows_of(api.encode(model, scored_text())[:tokens], WINDOW)
    reference = Recorded(plugins().backend(Executor).session(model, context=WINDOW))
    unchanged = score(reference, windows)
    reference.session = None
    float32 = Decoding(model)
    known = json.loads(options.json.read_text())["rows"] if options.json and options.json.exists() else []
    rows = {row["pipeline"]: row for row in known}
    print("| pipeline | bits a weight | perplexity | change | KL | top-1 | pass, s | decode |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| | {bits_a_weight(model):.2f} | {unchanged.perplexity:.3f} | | | | | 1 |", flush=True)
    for pipeline in options.pipeline or (QUICK if options.quick else PIPELINES):
        if pipeline not in rows:
            rows[pipeline] = measured(model, pipeline, windows, reference, float32)
            if options.json:
                document = {"unchanged": unchanged.to_dict(), "rows": list(rows.values())}
                write_whole(options.json, json.dumps(document, indent=2))
        print(line(rows[pipeline]), flush=True)


if __name__ == "__main__":
    main()
