"""What a chip runs, and what changes to a model cost on it, against the prices of the changed models."""

import json
from itertools import islice
from pathlib import Path

import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.flexibility import changes_on, library_on
from codesign.workload import Workload

INT8 = "quantize{weights=int8 activations=int8}"
WORKLOAD = Workload(1, 64, 16)


def test_the_emitted_chip_runs_what_lowers_to_it() -> None:
    # The library's first models are among both.
    found = list(islice(library_on(api.load_chip("edge"), INT8), 5))
    assert {own.runs for own in found} == {True, False}
    for own in found:
        model, pipeline = api.load_model(own.model), f"{INT8},{api.MICROCODE_PASSES}"
        if own.runs:
            api.compile(model, api.load_chip("edge"), pipeline)
        else:
            with pytest.raises(CodesignError):
                api.compile(model, api.load_chip("edge"), pipeline)


@pytest.mark.nightly
def test_the_whole_library_on_the_emitted_chip() -> None:
    found = {own.model: own for own in library_on(api.load_chip("edge"), INT8)}
    assert found.keys() == set(api.plugins().models())
    assert found["smollm2-135m"].runs
    assert "transformer.layer_norm" in (found["gpt2"].why or "")
    assert "does not fit" in (found["llama-2-70b"].why or "")


def test_a_change_costs_what_the_changed_model_does(tmp_path: Path) -> None:
    chip = api.load_chip("h100")
    changes = {own.change: own for own in changes_on("llama-2-7b", chip, WORKLOAD)}
    config = json.loads(api.plugins().models()["llama-2-7b"].read_text())
    path = tmp_path / "grouped.json"
    path.write_text(json.dumps(config | {"num_key_value_heads": 8}))

    def price(program: api.Program, pipeline: str = "") -> dict[str, object]:
        return api.cost(api.compile(program, chip, pipeline), WORKLOAD).to_dict()

    base, grouped = price(api.load_model("llama-2-7b")), price(api.load_model(path))
    narrow = price(api.load_model("llama-2-7b"), "quantize{weights=int8}")
    for change, other in (("grouped keys, 8 KV heads", grouped), ("weights int8", narrow)):
        for ratio, key in (("ttft", "ttft_s"), ("tpot", "tpot_s"), ("energy", "energy_per_token_j")):
            new, old = other[key], base[key]
            assert isinstance(new, float)
            assert isinstance(old, float)
            assert getattr(changes[change], ratio) == pytest.approx(new / old)
    assert not any(change.startswith("a key for every head") for change in changes)  # it has one already


def test_a_change_that_does_not_run_says_why() -> None:
    changes = {own.change: own for own in changes_on("smollm2-135m", api.load_chip("edge"), WORKLOAD, INT8)}
    assert changes["weights int8"].tpot == pytest.approx(1)
    assert changes["weights int4"].tpot is None
    assert "the matmul unit takes" in (changes["weights int4"].why or "")


def test_a_model_that_does_not_run_as_it_is_is_refused() -> None:
    with pytest.raises(CodesignError, match="no microcode"):
        list(changes_on("gpt2", api.load_chip("edge"), WORKLOAD, INT8))
