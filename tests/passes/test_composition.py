"""Passes in any order: the result is near the model's, or a line says which pass must come before which."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError

EXACT = ("fuse", "canonicalize", "cse", "block-attention{keys=4}", "specialize{batch=1 context=32}")
LOSSY = (
    "quantize{weights=int8}",
    "quantize{weights=int8 activations=int8 kv=int8}",
    "quantize{weights=int8 activations=int8 static=true}",
    "quantize{weights=int8 activations=fp8_e4m3 method=smoothquant}",
    "quantize{weights=int6 group=8 method=gptq}",
    'quantize{weights=int8 method=mse override="layers.0.*=float16"}',
    'sparsify{pattern="7:8"}',
    'sparsify{pattern="7:8" method=sparsegpt}',
    "moefy{experts=4 top_k=4}",
    "route-moe",
)
ORDER = re.compile(r"([a-z-]+) must come before ([a-z-]+)")
TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6]]


def name_of(text: str) -> str:
    return text.partition("{")[0]


def passes_of(draw: st.DrawFn) -> list[str]:
    """Up to five different passes in some order."""
    chosen = draw(st.lists(st.sampled_from(EXACT + LOSSY), min_size=2, max_size=5, unique_by=name_of))
    return draw(st.permutations(chosen))


@pytest.fixture(autouse=True, scope="module")
def calibrated() -> Iterator[None]:
    """Windows of random tokens in place of a text: these models have no tokenizer."""
    windows = np.random.default_rng(1).integers(0, 48, (4, 32)).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)
        yield


def settled(program, pipeline: list[str]) -> tuple[object, list[str]]:
    """What `pipeline` makes of a program once every advice is followed. A pass that is to come first and is not there
    is left to the user: what asked for it is left out."""
    for _ in range(20):
        try:
            return api.compile(program, None, ",".join(pipeline)), pipeline
        except CodesignError as error:
            message = str(error)
            found = ORDER.search(message)
            assert found, f"{','.join(pipeline)}: {message}"
            assert "\n" not in message
        first, second = found.groups()
        names = [name_of(text) for text in pipeline]
        assert second in names, message
        at = names.index(second)
        if first not in names:
            pipeline = pipeline[:at] + pipeline[at + 1 :]
            continue
        moved = names.index(first)
        assert moved > at, f"{','.join(pipeline)}: {message}"
        pipeline = [*pipeline[:at], pipeline[moved], *pipeline[at:moved], *pipeline[moved + 1 :]]
    raise AssertionError(f"no order was found: {','.join(pipeline)}")


@settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=st.data())
def test_any_order_works_or_says_what_comes_first(data, make_llama, session) -> None:
    model = make_llama(data.draw(st.integers(0, 9)), hidden=32, feed_forward=64, heads=4).program()
    program, pipeline = settled(model, passes_of(data.draw))
    # What pruning costs a random model says nothing: it is pruned alike, fused before it or not.
    pruned = [text for text in pipeline if name_of(text) in ("fuse", "moefy", "sparsify")]
    kept = any(name_of(text) == "sparsify" for text in pruned)
    expected = session(api.compile(model, None, ",".join(pruned)) if kept else model, context=32).step(TOKENS).copy()
    error = np.abs(session(program, context=32).step(TOKENS) - expected).max() / np.abs(expected).max()
    quantized = any(name_of(text) == "quantize" for text in pipeline)
    assert error <= (0.3 if quantized else 1e-4), (pipeline, error)


@pytest.mark.parametrize(
    ("pipeline", "first", "second"),
    [
        ("quantize{weights=int8},sparsify", "sparsify", "quantize"),
        ("quantize{weights=int8 method=mse},sparsify", "sparsify", "quantize"),
        ("quantize{weights=int8},moefy{experts=4 top_k=2}", "moefy", "quantize"),
        ("quantize{weights=int8 method=mse},moefy{experts=4 top_k=2}", "moefy", "quantize"),
        ("quantize{weights=int8 activations=int8},moefy{experts=4 top_k=2}", "moefy", "quantize"),
        ("sparsify,moefy{experts=4 top_k=2}", "moefy", "sparsify"),
        ("fuse,moefy{experts=4 top_k=2}", "moefy", "fuse"),
        ("route-moe,moefy{experts=4 top_k=2}", "moefy", "route-moe"),
        ("moefy{experts=4 top_k=2},quantize{weights=int8 activations=int8},route-moe", "route-moe", "quantize"),
        ("schedule", "lower-to-microcode", "schedule"),
    ],
)
def test_a_wrong_order_is_named(make_llama, apply, pipeline, first, second) -> None:
    with pytest.raises(CodesignError, match=f"{first} must come before {second}") as error:
        apply(make_llama().program(), pipeline)
    assert "\n" not in str(error.value)


LOWERED = "quantize{weights=int8 activations=int8},block-attention{keys=32},lower-to-microcode"


@pytest.mark.parametrize(
    "late", ["quantize{kv=int8}", "fuse", "block-attention{keys=8}", "specialize{batch=1}", "sparsify"]
)
def test_a_model_does_not_change_behind_its_microcode(apply, late) -> None:
    model, chip = api.load_model("embedded"), api.load_chip("edge")
    with pytest.raises(CodesignError, match=f"{name_of(late)} must come before lower-to-microcode"):
        apply(model, f"{LOWERED},{late}", chip)
