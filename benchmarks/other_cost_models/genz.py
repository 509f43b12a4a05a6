"""Points from stdin as GenZ prices them, to stdout; runs where `genz-llm` is installed."""

import contextlib
import json
import sys

from GenZ import decode_moddeling, prefill_moddeling

SYSTEMS = {"h100": "H100_GPU", "a100": "A100_80GB_GPU"}
MODELS = {
    "llama-2-7b": "llama2_7b",
    "llama-2-70b": "llama2_70b",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B",
    "llama-3.1-70b": "meta-llama/meta-llama-3.1-70b",
    "llama-3.3-70b": "meta-llama/meta-llama-3.1-70b",  # the same shape
    "llama-3.1-405b": "meta-llama/meta-llama-3.1-405b",
    "mistral-7b-v0.1": "mistral_7b",
}
BITS = {"fp8_e4m3": "fp8", "float16": "bf16", "bfloat16": "bf16"}


def seconds(point: dict) -> list[float]:
    """Seconds of the prompt and of a token in the middle of the generation."""
    common = {
        "model": MODELS[point["model"]],
        "batch_size": point["batch"],
        "system_name": SYSTEMS[point["chip"]],
        "bits": BITS[point["weights"]],
        "tensor_parallel": point["chips"],
    }
    first = prefill_moddeling(input_tokens=point["input"], **common)["Latency"]
    token = decode_moddeling(input_tokens=point["input"], output_tokens=point["output"] // 2, Bb=1, **common)["Latency"]
    return [float(first) / 1000, float(token) / 1000]


def main() -> None:
    """Answer every point, with the reason for one that is refused."""
    answers = []
    for point in json.load(sys.stdin):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answers.append(seconds(point))
        except (Exception, SystemExit) as error:
            answers.append(f"{type(error).__name__}: {str(error)[:200]}")
    json.dump(answers, sys.stdout)


main()
