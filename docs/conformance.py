"""Runs ONNX's conformance cases of single nodes and writes docs/onnx.md from the run: `python docs/conformance.py`.

A test does the same and compares.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.case.test_case import TestCase

from codesign import api
from codesign.errors import CodesignError
from codesign.frontends.onnx.file import program_of
from codesign_dialects.generic import OPERATORS
from codesign_dialects.generic.microsoft import DOMAIN

PAGE = Path(__file__).parent / "onnx.md"


@dataclass
class Run:
    """Cases by operator: that pass, that are refused, and what failed."""

    passed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)


def run() -> Run:
    """Run every case whose graph is one node."""
    outcome = Run()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow and divide by zero as they are made
        cases = [case for case in loader.load_node_model_tests() if case.model and len(case.model.graph.node) == 1]
    for case in cases:
        operator = case.model.graph.node[0].op_type
        model = ModelProto()
        model.CopyFrom(case.model)
        try:
            program = program_of(model)
        except CodesignError:
            outcome.refused[operator] += 1
            continue
        try:
            program.module.verify()
            check(case, program)
        except Exception as error:  # whatever a case raises is reported with its name
            outcome.failed[case.name] = f"{type(error).__name__}: {error}"
        else:
            outcome.passed[operator] += 1
    return outcome


def check(case: TestCase, program) -> None:
    """Compare outputs with those of the case, within its tolerance, as ONNX's own runner does."""
    for given, expected in case.data_sets:
        names = [value.name for value in case.model.graph.input]
        outputs = api.compute(program, dict(zip(names, map(_array, given), strict=True)))
        for actual, wanted in zip(outputs.values(), map(_array, expected), strict=True):
            assert actual.dtype == wanted.dtype, f"{actual.dtype} where {wanted.dtype} is expected"
            assert actual.shape == wanted.shape, f"{actual.shape} where {wanted.shape} is expected"
            # The runner allows two units in the last place of a bfloat16.
            relative = max(case.rtol, 2**-6) if actual.dtype.name == "bfloat16" else case.rtol
            if actual.dtype.kind in "biu":
                np.testing.assert_array_equal(actual, wanted)
            else:
                actual, wanted = (array.astype(np.complex128) for array in (actual, wanted))
                np.testing.assert_allclose(actual, wanted, rtol=relative, atol=case.atol)


def _array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def page(outcome: Run) -> str:
    """The page."""
    return "\n".join(_lines(outcome)) + "\n"


def _lines(outcome: Run) -> Iterator[str]:
    operators = sorted(outcome.passed)
    yield INTRODUCTION.format(cases=outcome.passed.total(), operators=len(operators))
    yield from ("| operator | cases that pass | refused |", "|---|---|---|")
    for name in operators:
        yield f"| {name} | {outcome.passed[name]} | {outcome.refused[name] or ''} |"
    yield from ("", "## Operators of ONNX Runtime", "", RUNTIME, "")
    yield ", ".join(f"`{name.removeprefix(f'{DOMAIN}.')}`" for name in OPERATORS if name.startswith(DOMAIN)) + "."
    others = [name for name in sorted(outcome.refused) if name not in outcome.passed]
    yield from ("", "## Refused", "", "Of these every case is refused: " + ", ".join(others) + ".")


INTRODUCTION = """# ONNX

Written by `docs/conformance.py` from a run of ONNX's conformance cases; change the code instead.

`codesign import model.onnx` reads a graph of operator sets 13 to 28 as operations of the `generic` dialect
(`pip install 'codesign[onnx]'`). Any graph is computed, from arrays by the names of its inputs:

```sh
codesign compute model.onnx --inputs inputs.npz -o outputs.npz
```

```python
import codesign

program = codesign.load_graph("model.onnx")
outputs = codesign.compute(program, {{"x": x}})  # arrays by the names of the graph's inputs and outputs
```

A graph of attention, norms, rotary embedding and products with weights in a decoder's order becomes a decoder of the
`transformer` dialect, which passes, cost model and emitter take: `codesign import` shows it, with how far its logits
are from the graph's on random tokens, or with why the graph is left as it is. It may be written in the operators of set
23, in ONNX Runtime's, or in products and softmax; weights of `MatMulNBits`, `GatherBlockQuantized` and
`DequantizeLinear` stay as they are stored. `codesign.load_graph` and `codesign compute` take the graph as it is.

Any graph that takes token ids and gives logits generates:

```sh
codesign run decoder.onnx --tokens 1,2,3 --max-tokens 20     # or --prompt, with a tokenizer.json beside the file
```

What its inputs are for is told by their types and names: integers are the token ids, or a mask of padding, positions,
or how many logits to keep, where `mask`, `position` or `keep` is in the name; floats are the cache `[batch, heads,
tokens, size]`, which starts empty, each given anew by the output in its place. Without a cache each token is computed
from all before it.

## Export

`codesign export MODEL -o F.onnx` writes a model as a graph of operator set 23, its layers unrolled, which
[Netron](https://netron.app) shows and ONNX Runtime runs: `input_ids` and `position_ids`, a cache in, logits and the
cache out. Weights lie beside it in `F.onnx.data`, as the passes left them where `DequantizeLinear` can say so (integers
of 4 and 8 bits with a scale a row or a block), else as float32. What the standard has no operator for, mixtures of
experts among it, is a node of the domain `codesign`, which viewers show. A model without weights has them as inputs.

## Weights

Weights in other files must lie inside the model's folder; they are mapped, not copied. What is not supported is
refused by the name of its node: an operator, an attribute, a tensor of strings, a control-flow graph.

MiniLM in int8, a sentence encoder, agrees with ONNX Runtime within 5e-5, its largest values being near 6 (a nightly
test).

## Supported operators

All {cases} cases of single nodes that are not refused pass, of {operators} operators. Cases refused beside those that
pass are of strings, sequences, optional values, or of training.
"""


RUNTIME = """Of the domain `com.microsoft` these are read and run; nightly tests compare them with it by value.
`matmul_nbits` takes weights of 2, 4 and 8 bits and computes in float32 whatever `accuracy_level` allows. Of
`group_query_attention` a cache in float32 is supported, a quantized one and one of a sliding window are not."""


if __name__ == "__main__":
    PAGE.write_text(page(run()))
