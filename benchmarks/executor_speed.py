"""SmolLM2-135M on one thread: the NumPy executor against `transformers` eager float32, side by side in one run.

    make bench

Rounds alternate between the two, so that whatever else the machine does meets both alike; seconds are those of the
processor, which on one thread are the clock's when nothing else runs. Figures are the medians of the rounds; the
ratios are what counts. A decoded token reads every weight once: beside the ratios stands what memory alone takes for
that, at the rate at which one thread reads as many bytes in the fastest of a few ways, in the same rounds. Written as
JSON with --json.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import torch
from transformers import AutoModelForCausalLM

import codesign
from codesign.linear_weights import chosen_weights
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

WANTED = {"decode": 2.0, "prefill": 1.2}


def timed(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


class Ours:
    """The executor."""

    def __init__(self, folder: Path, context: int):
        program = codesign.load_model(folder)
        self.session = plugins().backend(Executor).session(program, context=context)
        self.token_bytes = sum(program.parameters[name].nbytes for name in chosen_weights(program.module, ()))

    def prefill(self, prompt: list[int]) -> int:
        self.session.reset()
        return int(np.argmax(self.session.step([prompt])[0, -1]))

    def decode(self, token: int, count: int) -> None:
        for _ in range(count):
            token = int(np.argmax(self.session.step([[token]])[0, -1]))


class Theirs:
    """`transformers`, eager attention, its own KV cache, logits of the last token alone."""

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
        ).eval()

    def _step(self, tokens: list[int], past: object) -> int:
        output = self.model(torch.tensor([tokens]), past_key_values=past, use_cache=True, logits_to_keep=1)
        self.past = output.past_key_values
        return int(output.logits[0, -1].argmax())

    def prefill(self, prompt: list[int]) -> int:
        return self._step(prompt, None)

    def decode(self, token: int, count: int) -> None:
        for _ in range(count):
            token = self._step([token], self.past)


class Memory:
    """As many bytes as a token's weights, read once and in order by ways that compute next to nothing."""

    def __init__(self, nbytes: int):
        rows = np.ones((nbytes // 4096, 1024), np.float32)
        row, quarters = rows[0].copy(), rows[: len(rows) // 4 * 4].reshape(4, -1, 1024).swapaxes(0, 1)
        self.ways: dict[str, Callable[[], object]] = {
            "sum": lambda: np.add.reduce(rows, axis=None),
            "dot products": lambda: np.vecdot(rows, row),
            "four streams": lambda: np.matmul(quarters, row),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="SmolLM2-135M as a Hugging Face folder")
    parser.add_argument("--prompt", type=int, default=512, help="prompt tokens")
    parser.add_argument("--tokens", type=int, default=32, help="tokens decoded after a prompt of 32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prompt = np.random.default_rng(0).integers(0, 49152, options.prompt).tolist()
    sides = {
        "codesign": Ours(options.folder, options.prompt + options.tokens + 64),
        "transformers": Theirs(options.folder),
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {"decode": [], "prefill": []} for name in sides}
    memory = Memory(sides["codesign"].token_bytes)
    reads: dict[str, list[float]] = {way: [] for way in memory.ways}
    for _ in range(options.rounds + 1):
        for name, side in sides.items():
            seconds[name]["prefill"].append(timed(lambda side=side: side.prefill(prompt)))
            first = side.prefill(prompt[:32])
            seconds[name]["decode"].append(timed(lambda side=side, first=first: side.decode(first, options.tokens)))
        for way, read in memory.ways.items():
            reads[way].append(timed(read))
    # The first round warms caches and is dropped.
    rates = {
        name: {
            "decode": options.tokens / statistics.median(times["decode"][1:]),
            "prefill": options.prompt / statistics.median(times["prefill"][1:]),
        }
        for name, times in seconds.items()
    }
    ratios = {
        kind: statistics.median(
            theirs / ours
            for ours, theirs in zip(seconds["codesign"][kind][1:], seconds["transformers"][kind][1:], strict=True)
        )
        for kind in ("decode", "prefill")
    }
    way, bound = min(((way, statistics.median(times[1:])) for way, times in reads.items()), key=lambda found: found[1])
    gigabytes, token = sides["codesign"].token_bytes / 1e9, 1 / rates["codesign"]["decode"]
    if options.json:
        bounds = {"weight_gigabytes": gigabytes, "read_seconds": bound, "way": way, "part_of_token": bound / token}
        print(json.dumps({"tokens_per_second": rates, "ratio": ratios, "memory": bounds}))
        return
    print(f"{'tokens/s':>14} {'decode':>8} {'prefill':>8}")
    for name, rate in rates.items():
        print(f"{name:>14} {rate['decode']:8.1f} {rate['prefill']:8.1f}")
    for name, own in (("ratio", ratios), ("wanted", WANTED)):
        print(f"{name:>14} {own['decode']:8.2f} {own['prefill']:8.2f}")
    print(f"A decoded token takes {1e3 * token:.1f} ms. It reads {gigabytes:.3f} GB of weights, which takes memory")
    print(f"{1e3 * bound:.1f} ms of them ({bound / token:.0%}) at {gigabytes / bound:.1f} GB/s, by {way}")


if __name__ == "__main__":
    main()
