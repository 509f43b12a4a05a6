"""The library's configurations: what they count is what was published, and they transform and price without weights."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from xdsl.dialects.func import FuncOp

import codesign
from codesign import api
from codesign.cli import main
from codesign.errors import CodesignError
from codesign.plugins.backend import Executor
from codesign.plugins.manager import plugins
from codesign.program import Program
from codesign.workload import Workload

MODELS = {name: path for name, path in plugins().models().items() if path.parent.name == "library"}
FIELDS = {name: json.loads(path.read_text()) for name, path in MODELS.items()}


def half_of_the_last_digit(count: str) -> tuple[Decimal, Decimal]:
    """A published count, and how far from it the real one may be: ``8,030,261,248`` is exact, ``2.4B`` ± 0.05 billion,
    ``180B`` ± 5 billion."""
    if "B" not in count:
        return Decimal(count.replace(",", "")), Decimal(0)
    number = Decimal(count.removesuffix("B"))
    digit = Decimal(1).scaleb(number.as_tuple().exponent if "." in count else len(count) - len(count.rstrip("B0")) - 1)
    return number * 10**9, digit / 2 * 10**9


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ("8,030,261,248", (8030261248, 0)),
        ("2.4B", (2400000000, 50000000)),
        ("27.0B", (27000000000, 50000000)),
        ("175B", (175000000000, 500000000)),
        ("180B", (180000000000, 5000000000)),
    ],
)
def test_how_exact_a_published_count_is(count, expected) -> None:
    assert half_of_the_last_digit(count) == expected


def test_the_library_is_not_empty() -> None:
    assert len(MODELS) >= 78
    assert {"llama-3.1-405b", "mixtral-8x22b", "gpt-oss-120b", "qwen3-235b-a22b"} <= set(MODELS)


@pytest.fixture(scope="module", params=MODELS)
def program(request: pytest.FixtureRequest) -> Program:
    return codesign.load_model(request.param)


def test_parameters_are_as_many_as_published(program) -> None:
    published, error = half_of_the_last_digit(FIELDS[program.name]["_parameters"])
    assert abs(program.parameter_count - published) <= error


def test_it_says_where_it_comes_from(program) -> None:
    assert re.search(r"https://|arXiv:\d|, 20\d\d", FIELDS[program.name]["_source"])


def test_it_is_a_small_verified_module_without_weights(program) -> None:
    program.module.verify()
    assert program.weights is None
    width = {"float32": 4, "bfloat16": 2}[FIELDS[program.name].get("torch_dtype", "float32")]
    assert program.parameter_count * width == sum(parameter.nbytes for parameter in program.parameters.values())
    assert sum(1 for _ in program.module.walk()) < 250
    assert sum(1 for op in program.module.ops if isinstance(op, FuncOp)) <= 4
    with pytest.raises(CodesignError, match=f"{program.name} was loaded without weights"):
        plugins().backend(Executor).session(program, context=8)


def test_it_transforms_and_is_priced(program) -> None:
    """On as many chips as hold all of it in four bytes."""
    chip = codesign.load_chip("h100")
    compiled = codesign.compile(program, chip, "quantize{weights=int8},block-attention{keys=128}")
    chips = -(-4 * program.parameter_count // (60 << 30)) + 1
    cost = codesign.cost(compiled, Workload(batch=1, input=64, output=8), chips=chips)
    assert cost.to_dict()["tokens_per_second"] > 0


def test_it_is_listed(capsys) -> None:
    assert main(["list", "models", "--json"]) == 0
    listed = {entry["name"]: Path(entry["path"]) for entry in json.loads(capsys.readouterr().out)["models"]}
    assert {name: listed[name] for name in MODELS} == MODELS


def test_a_configuration_by_another_name_is_called_after_its_file(tmp_path) -> None:
    (tmp_path / "mine.json").write_text(MODELS["gpt2"].read_text())
    assert api.load_model(tmp_path / "mine.json").name == "mine"
    (tmp_path / "config.json").write_text(MODELS["gpt2"].read_text())
    assert api.load_model(tmp_path / "config.json").name == tmp_path.name
