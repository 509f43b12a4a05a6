"""The verbs from Python: programs survive as text, results are the executor's, mistakes say what would be right."""

import json

import numpy as np
import pytest

import codesign
from codesign import api
from codesign.errors import CodesignError, UsageError
from codesign.generation import Sampling
from codesign.workload import Workload

PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture
def program(make_llama, tmp_path):
    return api.load_model(make_llama(context=64).write(tmp_path / "random"))


@pytest.mark.parametrize(
    "pipeline",
    ["", "quantize{weights=int8 activations=int8},block-attention{keys=8}", "quantize{weights=int4 group=8}"],
)
def test_a_program_read_back_from_text_gives_the_same_tokens(program, tmp_path, pipeline) -> None:
    compiled = api.compile(program, api.load_chip("edge"), pipeline)
    api.save(compiled, tmp_path / "program.mlir")
    again = api.load_model(tmp_path / "program.mlir")
    assert again.module.is_structurally_equivalent(compiled.module)
    assert str(again) == str(compiled)
    assert api.run(again, PROMPT, max_tokens=12).tokens == api.run(compiled, PROMPT, max_tokens=12).tokens


def test_compiling_leaves_the_program_given_as_it_was(program) -> None:
    before = str(program)
    api.compile(program, api.load_chip("edge"), "quantize{weights=int8},block-attention{keys=8}")
    assert str(program) == before


def test_passes_as_objects_or_as_text(program) -> None:
    from codesign.passes.block_attention import BlockAttentionPass

    assert str(api.compile(program, None, [BlockAttentionPass(keys=8)])) == str(
        api.compile(program, None, "block-attention{keys=8}")
    )


def test_another_chip_takes_the_place_of_the_first(program) -> None:
    edge = api.compile(program, api.load_chip("edge"), "")
    h100 = api.compile(edge, api.load_chip("h100"), "")
    assert "@h100" in str(h100) and "@edge" not in str(h100)


def test_greedy_tokens_are_the_likeliest(program) -> None:
    session = api.plugins().backend(api.Executor).session(program)
    expected, tokens = [], PROMPT
    for _ in range(6):
        expected.append(int(np.argmax(session.step([tokens])[0, -1])))
        tokens = [expected[-1]]
    result = api.run(program, PROMPT, max_tokens=6)
    assert result.tokens == tuple(expected)
    assert (result.prompt_tokens, result.text) == (5, None)
    document = json.loads(json.dumps(result.to_dict()))
    assert document["tokens"] == expected and document["tokens_per_second"] > 0
    seen = []
    api.run(program, PROMPT, max_tokens=6, on_token=seen.append)
    assert seen == expected


def test_a_stop_token_ends_the_text_and_is_not_in_it(program, tmp_path) -> None:
    tokens = api.run(program, PROMPT, max_tokens=8).tokens
    config = json.loads((program.source / "config.json").read_text())
    (program.source / "config.json").write_text(json.dumps({**config, "eos_token_id": tokens[3]}))
    stopped = api.run(api.load_model(program.source), PROMPT, max_tokens=8).tokens
    assert stopped == tokens[: tokens.index(tokens[3])]


def test_sampling_is_repeatable_and_seeded(program) -> None:
    draws = [
        api.run(program, PROMPT, max_tokens=20, sampling=Sampling(temperature, seed)).tokens
        for temperature, seed in ((1.0, 1), (1.0, 1), (1.0, 2), (1e-6, 3))
    ]
    assert draws[0] == draws[1] != draws[2]
    assert draws[3] == api.run(program, PROMPT, max_tokens=20).tokens, "near 0 the likeliest is drawn"


@pytest.mark.parametrize("temperature", [-1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_none(temperature) -> None:
    with pytest.raises(UsageError, match="temperature must be 0 or more"):
        Sampling(temperature)


@pytest.mark.parametrize("field", ["batch", "input", "output"])
def test_a_workload_of_nothing(field) -> None:
    with pytest.raises(UsageError, match=f"workload: {field} must be at least 1, got 0"):
        Workload(**{field: 0})


def test_cost_is_that_of_the_workload(program) -> None:
    compiled = api.compile(program, api.load_chip("edge"), "quantize{weights=int8}")
    cheap = api.cost(compiled, Workload(1, 8, 8)).to_dict()
    dear = api.cost(compiled, Workload(1, 64, 8)).to_dict()
    assert json.dumps(cheap) and dear["ttft_s"] > cheap["ttft_s"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda p: api.load_model("embeded"),
            UsageError,
            "no model is called 'embeded' and no such file exists. Did you mean embedded",
        ),
        (
            lambda p: api.load_chip("edgy"),
            UsageError,
            "no chip is called 'edgy' and no such file exists. Did you mean edge, edge-hbm?",
        ),
        (lambda p: api.run(p, []), UsageError, "the prompt is empty: give at least one token"),
        (lambda p: api.run(p, [1], max_tokens=0), UsageError, "max_tokens must be at least 1, got 0"),
        (
            lambda p: api.run(p, [1], executor="nampy"),
            UsageError,
            "no Executor 'nampy' is installed. Did you mean numpy",
        ),
        (lambda p: api.run(p, [48], max_tokens=1), CodesignError, "token 48 is not in the vocabulary of 48"),
        (lambda p: api.run(p, "text"), CodesignError, "has no tokenizer.json beside its weights: give token ids"),
        (lambda p: api.cost(p), CodesignError, "chip"),
        (lambda p: api.load_model(p.source / "model.safetensors"), CodesignError, "no frontend reads this; known: "),
    ],
)
def test_mistakes(program, call, error, message) -> None:
    with pytest.raises(error) as raised:
        call(program)
    assert message in str(raised.value)


def test_text_that_is_no_program(program, tmp_path) -> None:
    path = tmp_path / "program.mlir"
    for content, message in (
        (b"\xff\xfe", "cannot be read as IR"),
        (b"nonsense", r"program\.mlir:1:9: .*nonsense"),
        (
            str(program).replace(str(program.source), "/nowhere").encode(),
            "weights are said to be in /nowhere, which does not exist",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(CodesignError, match=message):
            api.load_model(path)


def test_saving_where_one_cannot(program, tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CodesignError, match="cannot be written"):
        api.save(program, tmp_path / "file" / "program.mlir")
    assert (tmp_path / "file").read_text() == "kept"


def test_the_package_has_the_verbs() -> None:
    for name in codesign.__all__:
        assert getattr(codesign, name) is not None
    assert codesign.load_model is api.load_model
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = codesign.nothing
    assert sorted(codesign.__all__) == codesign.__all__


def test_a_program_shows_itself_in_a_notebook(program) -> None:
    html = program._repr_html_()
    assert html.startswith("<pre>") and "transformer.attention" in html and "-&gt;" in html
