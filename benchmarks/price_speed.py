"""How long a price takes: one point from a compiled program, by its own and other workloads, and many designs of one
structure in one call.

python benchmarks/price_speed.py
"""

import itertools
import time
from collections.abc import Callable

import numpy as np

from codesign import api
from codesign.chips import LIBRARY, read_chip
from codesign.workload import Workload
from codesign_cost.measurements import read_measurements
from codesign_cost.price import price_designs

DESIGNS = 200_000
WORKLOAD = Workload(1, 512, 128)
SWEEP = [Workload(batch, 64 * prompt, 128 + prompt) for batch in (1, 2, 3, 5, 8) for prompt in range(1, 12)]


def seconds(call: Callable[[], object], repeat: int) -> float:
    """CPU seconds of a call, the best of `repeat`."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    row = next(row for row in read_measurements() if (row.model, row.weights) == ("llama-3.1-8b", "fp8_e4m3"))
    random = np.random.default_rng(0)
    changes = {
        "h100": {
            "hbm": {"bandwidth": random.uniform(1e12, 8e12, DESIGNS)},
            "sm": {"count": random.integers(60, 200, DESIGNS)},
        },
        "edge": {
            "mxu": {"lanes": random.integers(8, 200, DESIGNS), "width": random.integers(8, 200, DESIGNS)},
            "dram": {"bandwidth": random.uniform(1e10, 1e12, DESIGNS)},
        },
    }
    for name, own in changes.items():
        chip = read_chip(LIBRARY[name])
        program = api.compile(row.program, chip)
        again = itertools.cycle(SWEEP)
        one = seconds(lambda program=program: api.cost(program, WORKLOAD), 200)
        sweep = seconds(lambda program=program, again=again: api.cost(program, next(again)), 200)
        many = seconds(lambda chip=chip, own=own: price_designs(row.program, chip, WORKLOAD, own), 3)
        points = f"one point {one * 1e3:.2f} ms, of a sweep {sweep * 1e3:.2f} ms"
        print(f"{name}: {points}; {DESIGNS / many:,.0f} designs a second")


if __name__ == "__main__":
    main()
