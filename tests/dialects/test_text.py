"""Text that is not IR is refused with its place, in time linear in its length."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.utils.exceptions import ParseError

from codesign_dialects.chip import Chip
from codesign_dialects.text import one_line, parse_text


def parse(text: str) -> ModuleOp:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Chip)
    return parse_text(text, "here.mlir", context)


def place_of_refusal(text: str) -> str:
    with pytest.raises(ParseError) as error:
        parse(text)
    return str(error.value.span.get_location())


@pytest.mark.parametrize("tail", ["", "\n", '\\q"', "\n}"])
def test_a_string_that_does_not_close_is_found_at_once(tail: str) -> None:
    started = time.process_time()
    text = '// a comment may hold a lone "\nbuiltin.module attributes {a = ' + '"' + "x" * 10_000 + tail
    assert place_of_refusal(text) == "here.mlir:2:32"
    assert time.process_time() - started < 2


def test_what_is_said_of_a_text_does_not_grow_with_it() -> None:
    with pytest.raises(ParseError) as error:
        parse("builtin" * 1000 + ".module {}")
    said = one_line(error.value.msg)
    assert said.startswith("Operation builtin")
    assert len(said) < 1100
    assert "\n" not in said


def test_nesting_too_deep_is_refused() -> None:
    assert place_of_refusal("builtin.module attributes {a = " + "[" * 100_000).startswith("here.mlir:")


def test_a_number_that_python_does_not_read_is_refused() -> None:
    assert place_of_refusal("builtin.module attributes {a = " + "9" * 5000 + " : i64} {}") == "here.mlir:1:32"


@given(st.text(st.characters(exclude_characters='"\\\n\v\f', exclude_categories=("Cs",))))
def test_strings_that_close_are_let_through(text: str) -> None:
    module = parse(f'builtin.module attributes {{a = "{text} // no comment \\" \\\\ \\0A"}} {{}} // "')
    assert "a" in module.attributes
