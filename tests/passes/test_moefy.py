"""``moefy``: the same function with all experts chosen, and a trained model that bears leaving some out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign import api
from codesign.errors import CodesignError
from codesign.ir import parse_passes
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload
from codesign_dialects.transformer import ExpertGatesOp, GateOp, MoEOp

TOKENS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8]]


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of random tokens in place of a text: these models have no tokenizer."""
    windows = np.random.default_rng(1).integers(0, 47, (3, 32)).tolist()
    monkeypatch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)


def logits(session, program) -> np.ndarray:
    return session(program, batch=2, context=32).step(TOKENS).copy()


@settings(max_examples=8)
@given(seed=st.integers(0, 99), experts=st.sampled_from([1, 2, 4, 5, 8, 40]), routed=st.booleans())
def test_with_all_experts_chosen_the_function_stays(seed, experts, routed, make_llama, apply, session) -> None:
    """Sums run in another order, and nothing else differs."""
    program = make_llama(seed).program()
    windows = np.random.default_rng(seed).integers(0, 47, (2, 32)).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codesign.passes.calibration.Calibration.windows", lambda *_: windows)
        pipeline = f"moefy{{experts={experts} top_k={experts}}}" + ",route-moe" * routed
        split = apply(program, pipeline)
    expected = logits(session, program)
    assert np.abs(logits(session, split) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_with_fewer_what_the_others_add_is_left_out(make_llama, apply, session, calibrated) -> None:
    program = make_llama().program()
    expected = logits(session, program)
    errors = [
        np.abs(logits(session, apply(program, f"moefy{{experts=8 top_k={k}}}")) - expected).mean() for k in (8, 6, 2)
    ]
    assert errors[0] < 1e-5 < errors[1] < errors[2]


def in_turn(features: np.ndarray, count: int) -> np.ndarray:
    return np.arange(len(features)) % count


def test_neurons_that_work_together_and_a_router_that_was_fitted_cost_less(held, monkeypatch) -> None:
    """A part of the embedded model's neurons left out: against parts of the same size that nobody chose, and against a
    router that knows nothing of its input."""
    pipeline = f'moefy{{experts=8 top_k=6 text="{held.calibration}"}}'
    clustered = held.divergence(pipeline)
    assert clustered < 0.6
    with monkeypatch.context() as patch:
        patch.setattr(
            "codesign.passes.moefy.balanced_clusters", lambda features, count: np.arange(len(features)) % count
        )
        assert clustered < held.divergence(pipeline)
    with monkeypatch.context() as patch:
        patch.setattr(
            "codesign.passes.moefy._fitted",
            lambda inputs, wanted: (
                np.zeros((wanted.shape[1], inputs.shape[1]), np.float32),
                wanted.mean(axis=0, dtype=np.float32),
            ),
        )
        assert clustered < held.divergence(pipeline)


def test_what_is_written(make_llama, apply, calibrated) -> None:
    split = apply(make_llama().program(), "moefy{experts=4 top_k=2}")
    found = [type(op) for op in split.module.walk()]
    assert GateOp not in found and found.count(MoEOp) == found.count(ExpertGatesOp) == 1
    assert {"layers.gate", "layers.up", "layers.down"}.isdisjoint(split.parameters)
    shapes = {name: tuple(parameter.type.get_shape()) for name, parameter in split.parameters.items()}
    assert shapes["layers.expert_gate"] == (2, 4, 10, 24) and shapes["layers.expert_down"] == (2, 4, 24, 10)
    for name in ("layers.expert_gate", "layers.expert_up", "layers.expert_down", "layers.router"):
        parameter = split.parameters[name]
        assert parameter.nbytes == sum(split.weights[source].nbytes for source in parameter.sources)


def test_a_split_model_is_saved_and_read_back(make_llama, apply, session, calibrated, tmp_path) -> None:
    folder = make_llama().write(tmp_path / "model")
    split = apply(api.load_model(folder), "moefy{experts=4 top_k=2},route-moe{capacity=1.25},quantize{weights=int8}")
    api.save(split, tmp_path / "split.mlir")
    np.testing.assert_array_equal(logits(session, api.load_model(tmp_path / "split.mlir")), logits(session, split))


def test_a_model_without_weights_is_split_and_costs_less(apply) -> None:
    model, chip, one = api.load_model("smollm2-135m"), api.load_chip("h100"), Workload(batch=1, input=16, output=16)
    split = apply(model, "moefy{experts=16 top_k=4}", chip)
    assert split.weights is None
    assert api.cost(split, one).latency_s < api.cost(apply(model, "", chip), one).latency_s


def test_text_without_its_weights_is_refused(apply) -> None:
    model = api.load_model("embedded")
    with pytest.raises(CodesignError, match="IR read as text has none at hand"):
        apply(Program(model.module), "moefy{experts=4 top_k=2}")


@pytest.mark.parametrize("options", ["{experts=8 top_k=2}", '{experts=8 top_k=2 text="a b.txt" samples=3}'])
def test_options_are_printed_as_they_are_read(options) -> None:
    (read,) = parse_passes(f"moefy{options}", plugins())
    assert parse_passes(str(read), plugins()) == (read,)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("moefy{experts=4 top_k=5}", "top_k=5; expected 1 to all of experts=4"),
        ("moefy{experts=4 top_k=0}", "top_k=0; expected 1 to all of experts=4"),
        ("moefy{experts=7 top_k=2}", "experts=7 do not divide the 40 neurons of @layers.down"),
        ("moefy{experts=4 top_k=2 samples=0}", "samples=0; expected 1 window or more"),
        ("fuse,moefy{experts=4 top_k=2}", "moefy must come before fuse"),
        ("quantize{weights=int8},moefy{experts=4 top_k=2}", "is quantized: moefy must come before quantize"),
        ("moefy{experts=4 top_k=2},moefy{experts=4 top_k=2}", "no gated feed-forward"),
        ('moefy{experts=4 top_k=2 text="missing.txt"}', "the calibration text missing.txt cannot be read"),
    ],
)
def test_bad_input(make_llama, apply, pipeline, message, request) -> None:
    if "missing" not in pipeline:
        request.getfixturevalue("calibrated")
    with pytest.raises(CodesignError, match=message):
        apply(make_llama().program(), pipeline)


@pytest.mark.parametrize("model", ["gpt2"], indirect=True)
def test_a_feed_forward_without_a_gate_is_refused(model, apply) -> None:
    with pytest.raises(CodesignError, match="no gated feed-forward"):
        apply(model, "moefy{experts=4 top_k=2}")
