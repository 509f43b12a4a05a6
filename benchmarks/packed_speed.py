"""SmolLM2-135M from packed weights on one thread: int8 and int4 against llama.cpp's Q8_0 and Q4_1, decode alone.

    npm install --prefix LLAMA --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
    python benchmarks/packed_speed.py MODEL.gguf LLAMA

MODEL is the Q4_1 file; one of Q8_0 is made from its values. Rounds alternate between all sides; seconds are of the
processor, and figures the medians of the rounds. llama.cpp rounds the inputs of its products to int8; so do the
pipelines with `activations=int8`, while the others keep them in float32. Written as JSON with --json.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gguf
import numpy as np

import codesign
from codesign import api
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins

PROMPT = list(range(100, 132))
SIDES = {
    "numpy float32": ("numpy", ""),
    "numpy int8": ("numpy", "quantize{weights=int8}"),
    "numba int8": ("numba", "quantize{weights=int8}"),
    "numba int8 · int8": ("numba", "quantize{weights=int8 activations=int8}"),
    "numba int4": ("numba", "quantize{weights=int4 group=32}"),
    "numba int4 · int8": ("numba", "quantize{weights=int4 group=32 activations=int8}"),
}
RIVALS = {"int8": "llama.cpp Q8_0", "int4": "llama.cpp Q4_1"}


class Ours:
    """An executor."""

    def __init__(self, model: Path, executor: str, pipeline: str, context: int):
        program = api.compile(codesign.load_model(model), None, pipeline)
        self.session = plugins().backend(Executor, executor).session(program, context=context)

    def decode(self, count: int) -> float:
        self.session.reset()
        token = int(np.argmax(self.session.step([PROMPT])[0, -1]))
        start = time.process_time()
        for _ in range(count):
            token = int(np.argmax(self.session.step([[token]])[0, -1]))
        return time.process_time() - start


class Theirs:
    """llama.cpp in a process of its own."""

    def __init__(self, llama: Path, model: Path):
        script = Path(__file__).with_name("llama_cpp.mjs")
        self.process = subprocess.Popen(
            ["node", script, llama, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        while self.process.stdout.readline().strip() != "ready":
            if self.process.poll() is not None:
                raise SystemExit("llama.cpp did not start")

    def decode(self, count: int) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(count, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["cpu"]


def write_q8_0(source: Path, target: Path) -> None:
    """The same model with every quantized tensor in Q8_0."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        values, kind = tensor.data, tensor.tensor_type
        if kind not in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0):
            kind = gguf.GGMLQuantizationType.Q8_0
            values = gguf.quants.quantize(gguf.quants.dequantize(tensor.data, tensor.tensor_type), kind)
        writer.add_tensor(tensor.name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="SmolLM2-135M as GGUF, Q4_1")
    parser.add_argument("llama", type=Path, help="the folder that npm installed node-llama-cpp into")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    context = len(PROMPT) + options.tokens + 1
    with tempfile.TemporaryDirectory() as folder:
        eight = Path(folder) / "q8_0.gguf"
        write_q8_0(options.model, eight)
        sides: dict[str, Ours | Theirs] = {
            name: Ours(options.model, executor, pipeline, context) for name, (executor, pipeline) in SIDES.items()
        }
        sides["numba Q4_1"] = Ours(options.model, "numba", "", context)
        sides["llama.cpp Q8_0"] = Theirs(options.llama, eight)
        sides["llama.cpp Q4_1"] = Theirs(options.llama, options.model)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds + 1):
            for name, side in sides.items():
                seconds[name].append(side.decode(options.tokens))
    # The first round compiles and warms caches, and is dropped.
    rates = {name: options.tokens / statistics.median(times[1:]) for name, times in seconds.items()}
    ratios = {
        name: statistics.median(
            theirs / ours for ours, theirs in zip(seconds[name][1:], seconds[rival][1:], strict=True)
        )
        for name in seconds
        for kind, rival in {**RIVALS, "Q4_1": RIVALS["int4"]}.items()
        if kind in name and name.startswith("numba")
    }
    if options.json:
        print(json.dumps({"tokens_per_second": rates, "ratio_to_llama_cpp": ratios}))
        return
    print(f"{'':>18} tokens/s  of llama.cpp (wanted: 1)")
    for name, rate in rates.items():
        print(f"{name:>18} {rate:8.1f}  {ratios.get(name, float('nan')):.2f}")


if __name__ == "__main__":
    main()
