"""What formats and methods do to a real model's perplexity, and what the passes take of memory."""

import re
import subprocess
import sys

import pytest

import codesign
from codesign import api

pytestmark = pytest.mark.nightly

FLOAT32_PARAMETERS = 134_515_008 * 4
FLOAT32_PERPLEXITY = 15.24
"""Of the first 2,048 ids of Python 3.11's help topics, in four windows of 512."""


@pytest.fixture(scope="module")
def perplexity(folder):
    model = codesign.load_model(folder)

    def perplexity(pipeline: str) -> float:
        return api.evaluate(api.compile(model, None, pipeline)).perplexity

    return perplexity


def test_float32_has_the_perplexity_of_transformers(perplexity):
    assert perplexity("") == pytest.approx(FLOAT32_PERPLEXITY, rel=0.005)


def test_int8_per_channel_is_within_one_percent(perplexity):
    assert perplexity("quantize{weights=int8}") == pytest.approx(FLOAT32_PERPLEXITY, rel=0.01)


def test_gptq_recovers_at_least_forty_percent_of_what_rounding_loses(perplexity):
    nearest = perplexity("quantize{weights=int4 group=32}")
    gptq = perplexity("quantize{weights=int4 group=32 method=gptq}")
    assert nearest - gptq >= 0.4 * (nearest - FLOAT32_PERPLEXITY)


def test_a_rotation_takes_the_outliers_out_of_static_activations(perplexity):
    """Within half a percent of float32, where all but the inputs of `down` have one scale."""
    static = 'quantize{weights=int8 activations=int8 static=true skip="layers.down"}'
    assert perplexity(f"rotate,{static}") == pytest.approx(FLOAT32_PERPLEXITY, rel=0.005)
    assert perplexity(static) > 1.1 * FLOAT32_PERPLEXITY


def test_q4_1_is_the_files_own(folder, gguf):
    """The folder holds what the file's Q4_1 and Q8_0 decode to: rounded again it is the same model."""
    again = api.compile(codesign.load_model(folder), None, 'quantize{weights=q4_1 override="embedding=q8_0"}')
    file = api.evaluate(codesign.load_model(gguf)).perplexity
    assert api.evaluate(again).perplexity == pytest.approx(file, rel=1e-4)


@pytest.mark.parametrize(
    "pipeline",
    [
        "quantize{weights=int4 group=32}",
        "quantize{weights=int4 group=32 method=gptq}",
        "quantize{weights=int8 activations=int8 static=true}",
        "sparsify{method=sparsegpt}",
    ],
)
def test_quantizing_never_holds_more_than_twice_the_parameters(folder, pipeline):
    """Until the first token, as rounding to nearest waits until the weights are read."""
    script = (
        "import codesign, re, sys\n"
        "program = codesign.compile(codesign.load_model(sys.argv[1]), None, sys.argv[2])\n"
        "codesign.run(program, [1], max_tokens=1)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    peak = subprocess.run([sys.executable, "-c", script, folder, pipeline], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\n", peak.stdout)
    assert 1024 * int(peak.stdout) < 2 * FLOAT32_PARAMETERS
