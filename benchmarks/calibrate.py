"""Fits the cost model to what was measured and writes the calibration of each family of chips.

python benchmarks/calibrate.py            fits and prints the errors
python benchmarks/calibrate.py --write    writes data/calibrations and data/servers of the cost model as well

Only rows marked `fit` are fitted; the error on those marked `test` is printed beside. Families with operator data fit
the time law of GPUs to it. The others have one parameter, the wait after a product, which one end-to-end row decides.
Serving software has one, the bytes that its sampling moves, and energy has one: one model on one chip decides both. The
fit of operators is deterministic: damped Gauss-Newton steps on the logarithm of predicted over measured time, rows
weighted by the inverse of their residual, so that the mean absolute error is made small and no row pulls hard.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from codesign.chips import LIBRARY, read_chip
from codesign.plan import Plan
from codesign.workload import Workload
from codesign_cost.combiner import Request, loads
from codesign_cost.energy import LAW as ENERGY
from codesign_cost.energy import coefficients
from codesign_cost.laws.law import Coefficient
from codesign_cost.laws.static_pipeline import STATIC_PIPELINE
from codesign_cost.laws.tiled_dispatch import TILED_DISPATCH
from codesign_cost.machine import Machine
from codesign_cost.measurements import Measurement, read_measurements, server_of
from codesign_cost.model import Model
from codesign_cost.operators import Measured, read_operators
from codesign_cost.plans import machine_of
from codesign_cost.serving.sampling import BYTES
from codesign_dialects.chip import Design

ROOT = Path(__file__).resolve().parents[1]
HEAD = "// Written by benchmarks/calibrate.py.\n"
DATA = ROOT / "backends" / "codesign_cost" / "data"
FAMILIES = {
    "nvidia-hopper": ("h100", "TensorRT-LLM 1.3 operators on H100 SXM"),
    "nvidia-ampere": ("a100", "TensorRT-LLM 1.0 operators on A100 SXM"),
}
STAGES = {
    "groq-tsp": ("groq-lpu", "Llama-2-70B on 576 chips, 300 tokens a second for one user (Groq, 2024-02)"),
    "cerebras-wse": (
        "wse-3",
        "Llama-3.1-8B on one wafer, 1,837 tokens a second for one user (Artificial Analysis, 2024-09)",
    ),
}
SERVERS = {
    "vllm-0.11": "Llama-3.1-8B in bfloat16 on one H100 SXM, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
}
SHARED = ("prefill_softmax", "decode_narrow_block", "decode_narrow_query", "decode_narrow_launch")
"""Taken from the family before: the rows of the A100, of one head size and one cache format, cannot tell them."""

GROUPS: Mapping[str, Mapping[str, float]] = {
    "product": {
        "launch": 4e-6, "narrow_launch": 1e-5, "vector_launch": 2e-6, "widen_launch": 6.86e-6, "narrow_rate": 0.9,
        "wide_rate": 0.9, "fill": 100.0, "split_fill": 500.0, "narrow_split_fill": 1000.0, "tile_operand": 20.0,
        "least_tile": 2000.0, "narrow_least_tile": 4000.0,
        "memory_efficiency": 0.8,
    },
    "decode": {
        "decode_launch": 8e-6, "decode_narrow_launch": 6e-6, "decode_split": 5e-6, "decode_block": 1.5e-6,
        "decode_shared_block": 5e-6, "decode_narrow_block": 1e-6, "decode_query": 5e-10, "decode_narrow_query": 1e-9,
        "decode_compute_efficiency": 0.05, "decode_vector": 1.1, "decode_memory_efficiency": 0.8,
        "decode_cache_efficiency": 0.3,
    },
    "prefill": {
        "prefill_launch": 8e-6, "prefill_floor": 50000.0, "prefill_softmax": 6.0, "prefill_compute_efficiency": 0.5,
        "prefill_memory_efficiency": 0.5, "prefill_serial_share": 0.9,
    },
    "all_reduce": {
        "collective_launch": 3e-6, "collective_step": 1e-6, "scatter_launch": 2e-5, "link_efficiency": 0.6,
        "direct_efficiency": 0.6,
    },
}  # fmt: skip
"""By kind of operator the coefficients that it decides, with where the search starts. No row of the H100 widens its
weights: its `widen_launch` stays at the start, which is what the A100's rows decide."""


def predicted(design: Design, rows: list[Measured], values: Mapping[str, float]) -> np.ndarray:
    """Seconds of each operator."""
    return np.concatenate([TILED_DISPATCH.usage(table, Machine(design), values).seconds.ravel()
                           for _, table in Measured.tables(rows)])  # fmt: skip


def fitted(
    residual: Callable[[np.ndarray], np.ndarray], start: np.ndarray, limit: np.ndarray, rounds: int = 40
) -> np.ndarray:
    """The parameters, above zero and no larger than `limit`, at which the mean absolute `residual` is small."""
    x, damping, most = np.log(start), 1e-2, np.log(limit)
    best = residual(np.exp(x))
    for _ in range(rounds):
        weight = 1 / np.maximum(np.abs(best), 0.03)
        jacobian = np.stack([(residual(np.exp(x + step)) - best) / 1e-4 for step in 1e-4 * np.eye(len(x))], axis=1)
        normal = jacobian.T @ (weight[:, None] * jacobian)
        gradient = jacobian.T @ (weight * best)
        for _ in range(8):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -gradient)
            moved = np.minimum(x + np.clip(step, -1, 1), most)
            tried = residual(np.exp(moved))
            if np.abs(tried).mean() < np.abs(best).mean():
                x, best, damping = moved, tried, damping / 3
                break
            damping *= 4
    return np.exp(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    fits(write=parser.parse_args().write)


def fits(*, write: bool = False) -> dict[str, str]:
    """The text of each file of calibrations, by its path below the data; what is fitted first is written first, as what
    follows is fitted with the times that stand there: sampling with those of the chips, power with both."""
    texts = {f"calibrations/{family}": HEAD + text for family, text in fit_times().items()}
    write_texts(texts if write else {})
    texts |= {f"servers/{name}": HEAD + fit_server(name, what) for name, what in SERVERS.items()}
    write_texts(texts if write else {})
    switching, residual = fit_power()
    what = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)"
    power = calibration("power", ENERGY, {"switching": switching}, what, residual)
    texts |= {f"calibrations/{family}": texts[f"calibrations/{family}"] + power for family in FAMILIES}
    write_texts(texts if write else {})
    return texts


def write_texts(texts: Mapping[str, str]) -> None:
    """Writes each file."""
    for name, text in texts.items():
        (DATA / f"{name}.mlir").write_text(text, encoding="utf-8")


def fit_times() -> dict[str, str]:
    """The time law of each family."""
    texts = fit_operators()
    for family, (chip, fitted_on) in STAGES.items():
        texts[family] = calibration("stages", STATIC_PIPELINE.name, {"stage": fit_stage(chip)}, fitted_on, 0.0)
    return texts


def fit_operators() -> dict[str, str]:
    """The time law of GPUs for each family with operator data."""
    texts: dict[str, str] = {}
    shared: dict[str, float] = {}
    for family, (chip, what) in FAMILIES.items():
        design = read_chip(LIBRARY[chip]).design
        values = {name: coefficient.ideal for name, coefficient in TILED_DISPATCH.coefficients.items()} | shared
        errors: list[float] = []
        counts: list[str] = []
        for kind, searched in GROUPS.items():
            start = {name: value for name, value in searched.items() if name not in shared}
            rows = [row for row in read_operators() if (row.chip, row.kind) == (chip, kind)]
            for_fit, for_test = ([row for row in rows if row.split == split] for split in ("fit", "test"))
            values |= fit_kind(design, for_fit, values, start)
            own, test = (relative_errors(design, part, values) for part in (for_fit, for_test))
            errors += own.tolist()
            counts.append(f"{len(own)} of {kind}")
            print(
                f"{family} {kind}: fit {np.abs(own).mean():.1%} of {len(own)}, test {np.abs(test).mean():.1%} "
                f"(signed {test.mean():+.1%}) of {len(test)}"
            )
        shared = {name: values[name] for name in SHARED}
        fitted_on = f"{what} (AIConfigurator, Apache-2.0): {', '.join(counts)}"
        texts[family] = calibration("kernels", TILED_DISPATCH.name, values, fitted_on, float(np.mean(np.abs(errors))))
    return texts


def fit_kind(
    design: Design, rows: list[Measured], values: Mapping[str, float], start: Mapping[str, float]
) -> dict[str, float]:
    """The coefficients of `start` that fit `rows`, the others as in `values`."""
    measured = np.log([row.seconds for row in Measured.ordered(rows)])

    def residual(x: np.ndarray) -> np.ndarray:
        return np.log(predicted(design, rows, values | dict(zip(start, x, strict=True)))) - measured

    # No unit does better than its peak.
    limit = np.array([1.0 if name.endswith(("efficiency", "rate", "share")) else np.inf for name in start])
    found = fitted(residual, np.array(list(start.values())), limit)
    return {name: float(f"{value:.4g}") for name, value in zip(start, found, strict=True)}


def fit_stage(chip: str) -> float:
    """Seconds of a wait after a product with which the one row of a chip marked `fit` is met exactly."""
    (row,) = [row for row in read_measurements() if row.chip == chip and row.split == "fit"]
    program = row.program
    machine = machine_of(read_chip(LIBRARY[chip]), Plan(tensor=row.chips or 1))
    machine = replace(machine, design=replace(machine.design, family=None), resident=True)

    workload = Workload(row.batch or 1, row.input, row.output)
    asked = loads(program, workload, machine.plan)

    def decode(stage: float) -> float:
        coefficients = {**STATIC_PIPELINE.coefficients, "stage": Coefficient(stage, "")}
        law = replace(STATIC_PIPELINE, coefficients=coefficients)
        return float(Request.on(asked, machine, law, workload).seconds()[1, 0])

    least, more = decode(0.0), decode(1e-6)
    target = (row.batch or 1) * (row.output - 1) / row.value
    stage = float(f"{1e-6 * (target - least) / (more - least):.4g}")
    print(f"{chip}: without waits {least / target:.1%} of the measured time; a wait of {stage:.3g} s")
    return stage


def fit_server(name: str, what: str) -> str:
    """The calibration of a serving software: the bytes of its sampling that measured times per token leave room for."""
    rows = [row for row in read_measurements() if row.split == "fit" and row.metric == "tpot"]
    rows = [row for row in rows if server_of(row.software) == name]
    alone, each = np.array([_without_and_each(row) for row in rows]).T
    moved = float(f"{each @ (1 - alone) / (each @ each):.3g}")
    error = float(np.abs(alone + moved * each - 1).mean())
    print(f"{name}: sampling moves {moved:.3g} bytes a logit, mean error {error:.1%} of {len(rows)}")
    return calibration("sampling", "sampling", {BYTES: moved}, what, error)


def _without_and_each(row: Measurement) -> tuple[float, float]:
    """Of a measured time per token, the share that is predicted without sampling, and that of one byte a logit."""
    price = replace(row, software="").price()
    machine = machine_of(read_chip(LIBRARY[row.chip]), Plan(**price.plan))
    bandwidth = machine.memory_bandwidth * TILED_DISPATCH.values(machine)["memory_efficiency"]
    each = price.batch * Model.of(row.program).vocabulary / float(bandwidth)
    return (price.tpot_s or 0.0) / row.value, each / row.value


def fit_power() -> tuple[float, float]:
    """What is spent over the energy of the bare arithmetic and traffic, and the mean error of power it leaves."""
    rows = [row for row in read_measurements() if row.metric == "power" and row.split == "fit"]
    ratios: list[tuple[float, float]] = []
    for row in rows:
        result = row.price()
        joules = cast(Mapping[str, float], result.breakdown["energy_j"])
        spent = coefficients(machine_of(read_chip(LIBRARY[row.chip])))["switching"]
        idle = joules["idle"] / result.latency_s / row.value
        ratios.append((idle, (result.power_w / row.value - idle) / spent))
    idle, dynamic = np.array(ratios).T
    switching = float(f"{(dynamic * (1 - idle)).sum() / (dynamic**2).sum():.3g}")
    error = float(np.abs(idle + switching * dynamic - 1).mean())
    print(f"power: switching {switching}, mean error {error:.1%} of {len(rows)}")
    return switching, error


def relative_errors(design: Design, rows: list[Measured], values: Mapping[str, float]) -> np.ndarray:
    """Predicted over measured, less 1."""
    return predicted(design, rows, values) / np.array([row.seconds for row in Measured.ordered(rows)]) - 1


def calibration(name: str, law: str, values: Mapping[str, float], fitted_on: str, residual: float) -> str:
    """The text of one calibration."""
    lines = ",\n".join(f"    {key} = {float(value)!r}" for key, value in values.items())
    return (
        f'chip.calibration @{name} {{\n  law = "{law}",\n  values = {{\n{lines}\n  }},\n'
        f'  fitted_on = "{fitted_on}",\n  residual = {residual:.3f}\n}}\n'
    )


if __name__ == "__main__":
    main()
