"""Points from stdin as AIConfigurator prices them, batches that run in step, to stdout; runs where it is installed."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

# This file is called as the package is: its folder must not come first.
sys.path.pop(0)

from aiconfigurator.cli.api import cli_estimate

SYSTEMS = {"h100": "h100_sxm", "a100": "a100_sxm"}
GEMM = {"fp8_e4m3": "fp8", "float16": "bfloat16", "bfloat16": "bfloat16"}
CACHE = {"fp8_e4m3": "fp8", "float16": "bfloat16", "bfloat16": "bfloat16"}


def seconds(point: dict, folder: str) -> list[float]:
    """Seconds of the prompt and of a token of the generation."""
    config = {key: value for key, value in point["config"].items() if not key.startswith("_")}
    # Mistral without its window is a Llama.
    model = Path(folder) / point["model"]
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text(
        json.dumps(config | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    )
    estimate = cli_estimate(
        str(model),
        SYSTEMS[point["chip"]],
        mode="static",
        backend_name="trtllm",
        isl=point["input"],
        osl=point["output"],
        batch_size=point["batch"],
        tp_size=point["chips"],
        gemm_quant_mode=GEMM[point["weights"]],
        kvcache_quant_mode=CACHE[point["kv"]],
    )
    return [estimate.ttft / 1000, estimate.tpot / 1000]


def main() -> None:
    """Answer every point, with the reason for one that is refused."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for point in json.load(sys.stdin):
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    answers.append(seconds(point, folder))
            except (Exception, SystemExit) as error:
                answers.append(f"{type(error).__name__}: {str(error)[:200]}")
    json.dump(answers, sys.stdout)


main()
