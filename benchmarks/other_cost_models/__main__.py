"""Our cost model beside GenZ and AIConfigurator, on the same measurements: `python benchmarks/other_cost_models DIR`.

Each tool gets an environment of its own below DIR, from PyPI. The points are the held-out throughputs and times to
first token of models of Llama's shape on A100 and H100 in the cost model's measurements. A batch that a measurement
leaves open is the largest that fits, as we reckon it; all three are asked the same. Throughput is that of a batch in
step: its tokens over the prompt's time and that of each token. Errors are over the points that all three answer.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codesign.plugins.manager import plugins
from codesign_cost.measurements import Measurement, read_measurements

TOOLS = {"genz": "genz-llm==0.0.16", "aiconfigurator": "aiconfigurator==0.12.0"}
METRICS = ("tokens_per_second", "ttft")


def main() -> None:
    """Ask all three and print their errors by software and metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the environments go")
    folder = parser.parse_args().folder
    rows = [
        row
        for row in read_measurements()
        if row.split == "test"
        and row.chip in ("h100", "a100")
        and row.metric in METRICS
        and _config(row)["model_type"] in ("llama", "mistral")
    ]
    points = [_point(row) for row in rows]
    predicted = {"ours": [row.predict() for row in rows]}
    for tool, package in TOOLS.items():
        answers = _ask(folder / tool, tool, package, points)
        predicted[tool] = [_metric(*own) for own in zip(rows, points, answers, strict=True)]
        refused = sorted({own for own in answers if isinstance(own, str)})
        print(
            f"{tool}: {sum(not isinstance(own, str) for own in answers)} of {len(rows)} answered", *refused, sep="\n  "
        )
    measured = np.array([row.value for row in rows])
    errors = {tool: np.abs(np.array(values) / measured - 1) for tool, values in predicted.items()}
    known = np.all([np.isfinite(own) for own in errors.values()], axis=0)
    print(f"\n{'software':28}{'chip':6}{'metric':20}{'points':>7}" + "".join(f"{tool:>16}" for tool in errors))
    groups = sorted({(row.software, row.chip, row.metric) for row in rows})
    for group in [*groups, *(("all", "", metric) for metric in METRICS)]:
        own = [
            at and group in ((row.software, row.chip, row.metric), ("all", "", row.metric))
            for at, row in zip(known, rows, strict=True)
        ]
        if any(own):
            means = "".join(f"{errors[tool][own].mean():16.1%}" for tool in errors)
            print(f"{group[0]:28}{group[1]:6}{group[2]:20}{sum(own):7}{means}")


def _point(row: Measurement) -> dict[str, object]:
    result = row.price()
    return {
        "model": row.model, "config": _config(row), "chip": row.chip, "chips": result.chips, "batch": result.batch,
        "input": row.input, "output": row.output, "weights": row.weights, "kv": row.kv,
    }  # fmt: skip


def _config(row: Measurement) -> dict[str, object]:
    return json.loads(plugins().models()[row.model].read_text(encoding="utf-8"))


def _ask(home: Path, tool: str, package: str, points: Sequence[object]) -> list[list[float] | str]:
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    script = Path(__file__).with_name(f"{tool}.py")
    done = subprocess.run([python, script], input=json.dumps(points), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _metric(row: Measurement, point: dict[str, object], answer: list[float] | str) -> float:
    if isinstance(answer, str):
        return float("nan")
    first, token = answer
    if row.metric == "ttft":
        return first
    batch = point["batch"]
    assert isinstance(batch, int)
    return batch * row.output / (first + (row.output - 1) * token)


if __name__ == "__main__":
    main()
