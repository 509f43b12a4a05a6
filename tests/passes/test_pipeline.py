"""Pipelines as text: they print as they parse, and a mistake is answered with what would be right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.passes import PassPipeline

from codesign.errors import CodesignError, UsageError
from codesign.ir import apply_passes, parse_module, parse_passes, pass_options
from codesign.passes.block_attention import BlockAttentionPass
from codesign.passes.lower_to_microcode import LowerToMicrocodePass
from codesign.passes.quantize import QuantizePass
from codesign.passes.schedule import SchedulePass
from codesign.plugins.manager import plugins

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
PASSES = st.one_of(
    st.builds(
        QuantizePass,
        weights=st.none() | names,
        activations=st.none() | names,
        group=st.none() | st.integers(0, 512),
        skip=st.lists(names | st.from_regex(r"[a-z]{1,5}\.[a-z*?]{1,5}", fullmatch=True), max_size=3).map(tuple),
    ),
    st.builds(BlockAttentionPass, keys=st.none() | st.integers(0, 512), memory=st.none() | names),
    st.builds(
        LowerToMicrocodePass,
        tokens=st.none() | st.integers(0, 100),
        context=st.none() | st.integers(0, 100),
    ),
    st.builds(SchedulePass),
)


@given(st.lists(PASSES, max_size=4))
def test_passes_print_as_they_parse(passes) -> None:
    pipeline = ",".join(str(each) for each in passes)
    assert parse_passes(pipeline, plugins()) == tuple(passes)
    assert tuple(PassPipeline.parse_spec(plugins().passes(), pipeline).passes) == tuple(passes)


@pytest.mark.parametrize("name", sorted(plugins().passes()))
def test_a_pass_is_registered_under_its_own_name(name: str) -> None:
    assert plugins().passes()[name]().name == name


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("quantise", "no pass is called 'quantise'. Did you mean quantize"),
        ("nothing-like-it", "no pass is called 'nothing-like-it'. Known: "),
        ("quantize{wieghts=int8}", "Options: weights: "),
        ("quantize{weights=int8 group=many}", "quantize: "),
        ("block-attention{keys=1.5}", "Options: queries: int|None, keys: "),
        ("lower-to-microcode{tokens=-}", "Options: tokens: int|None, context: int|None."),
        ("quantize{weights=int8", "pipeline 'quantize{weights=int8': "),
        ("quantize, block-attention", "pipeline 'quantize, block-attention': "),
        ("quantize{skip=layers.down}", "pipeline 'quantize{skip=layers.down}': "),
        (",", "pipeline ',': "),
        ("{}", "pipeline '{}': "),
    ],
)
def test_a_text_that_is_no_pipeline(pipeline: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_passes(pipeline, plugins())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=20) | st.text('quantize{}=,. int84"[]', max_size=25))
def test_no_text_raises_anything_else(pipeline: str) -> None:
    try:
        parse_passes(pipeline, plugins())
    except UsageError as error:
        assert "\n" not in str(error)


def test_options_read_as_a_sentence() -> None:
    text = pass_options(QuantizePass)
    assert text.startswith("Options: weights: ") and text.endswith(".") and "skip" in text


def test_an_empty_pipeline_changes_nothing(make_llama) -> None:
    program = make_llama().program()
    result = apply_passes(program, parse_passes("  ", plugins()), plugins().context()).module
    assert result is not program.module
    assert str(result) == str(program.module)


def test_after_sees_the_module_after_each_pass(make_llama) -> None:
    seen: list[tuple[str, bool, bool]] = []
    passes = parse_passes("quantize{weights=int8},block-attention{keys=8}", plugins())
    result = apply_passes(
        make_llama().program(),
        passes,
        plugins().context(),
        lambda done, module: seen.append((done.name, "int8" in str(module), "attention_block" in str(module))),
    )
    assert seen == [("quantize", True, False), ("block-attention", True, True)]
    assert "attention_block" in str(result)


@pytest.mark.parametrize(
    "pipeline",
    [
        "",
        "quantize{weights=int8 activations=int8}",
        "block-attention{keys=8}",
        "quantize{weights=int4 group=4},block-attention{keys=3}",
    ],
)
def test_what_passes_make_is_read_back(make_llama, pipeline) -> None:
    module = apply_passes(make_llama().program(), parse_passes(pipeline, plugins()), plugins().context()).module
    again = parse_module(str(module), "test.mlir", plugins().context())
    assert again.is_structurally_equivalent(module)
    assert str(again) == str(module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "test.mlir:1:1: "),
        (
            "builtin.module {}",
            "test.mlir: the module has no `codesign.version` attribute; expected `codesign.version = 1 : i64`",
        ),
        ("builtin.module {", "test.mlir:1:"),
        (
            "builtin.module attributes {codesign.version = 2 : i64} {}",
            "test.mlir: IR version 2 is not known; this release reads 1",
        ),
        ('builtin.module attributes {codesign.version = "1"} {}', "has no `codesign.version` attribute"),
        ('"nobodys.op"() : () -> ()', "nobodys.op"),
        (
            "builtin.module attributes {codesign.version = 1 : i64} {\n"
            '  transformer.parameter @w : tensor<?xf32> from "w"\n}',
            "test.mlir: a parameter has a static, positive shape",
        ),
        ("(" * 100_000, "test.mlir"),
    ],
)
def test_text_that_is_no_program(text: str, message: str) -> None:
    with pytest.raises(CodesignError) as error:
        parse_module(text, "test.mlir", plugins().context())
    assert message in str(error.value)
