"""The chip dialect: round trips of everything its tables allow, and refusals that say what would be right."""

from dataclasses import MISSING, fields
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from codesign_dialects.chip import Chip, Design, DesignOp, Matmul, Memory, PartOp, Sram, SystemOp, parameters
from codesign_dialects.chip.design import Core
from codesign_dialects.quantity import DIMENSIONS

_LEAVES = {op.name: op for op in Chip.operations if issubclass(op, PartOp) and op.HOMES != ("builtin.module",)}
_UNITS = [op for op in _LEAVES.values() if "chip.core" in op.HOMES]


def parse(text: str) -> ModuleOp:
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(Chip)
    module = Parser(context, text, "test.mlir").parse_module()
    module.verify()
    return module


def generic(module: ModuleOp) -> str:
    text = StringIO()
    Printer(text, print_generic_format=True).print_op(module)
    return text.getvalue()


def in_core(unit: str) -> str:
    return 'chip.design @d attributes {process = "7 nm", clock = "1 GHz"} {chip.core @c {' + unit + "}}"


def in_design(part: str) -> str:
    return 'chip.design @d attributes {process = "7 nm", clock = "1 GHz"} {' + part + "}"


def refusal(text: str) -> str:
    with pytest.raises((ParseError, VerifyException)) as error:
        parse(text)
    return str(error.value)


def _texts(form: str) -> st.SearchStrategy[str]:
    """Values, as IR text, of a parameter whose form is documented as `form`."""
    for dimension in DIMENSIONS:
        if form.startswith(f"a {dimension.name},"):
            unit = dimension.example.split()[1]
            return st.integers(1, 999).map(lambda n, unit=unit: f'"{n} {unit}"')
    if form.startswith("one of "):
        return st.sampled_from(form.removeprefix("one of ").split(", ")).map(lambda name: f'"{name}"')
    name = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
    return {
        "a whole number from 1": st.integers(1, 2**40).map(str),
        "a number": st.floats(0, 1e9).map(lambda x: f"{x:.6f}"),
        "text": st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\'), min_size=1).map(
            lambda text: f'"{text}"'
        ),
        'a list of number formats, ["int8", "ternary"]': st.sampled_from(['["int8"]', '["bfloat16", "mxfp4", "int5"]']),
        "a number for each format, {int4 = 2}": st.just("{}"),
        "named numbers, {overhead = 0.1}": st.dictionaries(name, st.floats(0, 1e6), max_size=3).map(
            lambda d: "{" + ", ".join(f"{k} = {v:.9f}" for k, v in d.items()) + "}"
        ),
        'an N:M pattern, "2:4"': st.tuples(st.integers(1, 7), st.integers(8, 16)).map(lambda p: f'"{p[0]}:{p[1]}"'),
        "a symbol, @name": st.just("@d"),
        "a list of symbols, [@name]": st.just("[@a, @b]"),
    }[form]


@st.composite
def parts(draw: st.DrawFn, op: type[PartOp]) -> str:
    required = {field.name for field in fields(op.RECORD) if field.default is MISSING}
    given_parameters = {
        key: draw(_texts(parameter.form))
        for key, parameter in parameters(op.RECORD).items()
        if key in required or draw(st.booleans())
    }
    if op.name == "chip.sram":  # exactly one of width and bandwidth, and the banks must divide the width
        given_parameters |= {"width": "1024", "banks": "8"}
        given_parameters.pop("bandwidth", None)
    count = draw(st.sampled_from(["", "count(7) "]))
    text = ", ".join(f"{key} = {value}" for key, value in given_parameters.items())
    source = ' sources {others = "estimated: a test"}' if draw(st.booleans()) else ""
    return f"{op.name} @part {count}{{{text}}}{source}"


@settings(max_examples=150)
@given(data=st.data(), op=st.sampled_from(_UNITS))
def test_every_unit_round_trips_in_custom_and_generic_form(data: st.DataObject, op: type[PartOp]) -> None:
    module = parse(in_core(data.draw(parts(op))))
    assert parse(str(module)).is_structurally_equivalent(module)
    assert parse(generic(module)).is_structurally_equivalent(module)
    assert str(parse(str(module))) == str(module)


@settings(max_examples=100)
@given(
    data=st.data(),
    op=st.sampled_from([op for op in _LEAVES.values() if "chip.design" in op.HOMES and op.name != "chip.core"]),
)
def test_every_part_of_a_design_round_trips(data: st.DataObject, op: type[PartOp]) -> None:
    module = parse(in_design(data.draw(parts(op))))
    assert parse(str(module)).is_structurally_equivalent(module)
    assert parse(generic(module)).is_structurally_equivalent(module)


def test_a_design_reads_as_si_values() -> None:
    module = parse(
        """
        chip.design @tiny attributes {process = "7 nm", clock = "0.5 GHz", area = "2.5 mm2"} {
          chip.memory @dram {kind = "lpddr5x", capacity = "1 GiB", bandwidth = "17 GB/s"}
          chip.core @core count(2) {
            chip.matmul @mxu count(3) {lanes = 4, width = 8, formats = ["int8", "int4"], rates = {int4 = 2}}
            chip.sram @kv {role = "kv", capacity = "1 KiB", width = 16, banks = 4, ports = 2}
            chip.sram @fast {capacity = "1 KiB", bandwidth = "3 GB/s"}
          }
        }
        """
    )
    (op,) = module.ops
    assert isinstance(op, DesignOp)
    design = op.part()
    assert isinstance(design, Design)
    assert (design.name, design.process, design.clock, design.area) == ("tiny", 7e-9, 0.5e9, 2.5e-6)
    assert design.price is None
    assert design.all(Memory)[0].bandwidth == 17e9
    (core,) = design.all(Core)
    assert core.count == 2
    (matmul,) = core.all(Matmul)
    assert [matmul.macs(f) for f in ("int8", "int4", "float32")] == [96, 192, 0]
    kv, fast = core.all(Sram)
    assert kv.bytes_per_second(design.clock) == 16 * 2 * 0.5e9
    assert fast.bytes_per_second(design.clock) == 3e9


def test_sources_speak_for_figures() -> None:
    module = parse(
        in_core(
            'chip.vector @v count(2) {lanes = 8, formats = ["float32"]} '
            'sources {lanes = "measured: bench", count = "press: somewhere"}'
        )
    )
    vector = next(op for op in module.walk() if op.name == "chip.vector")
    assert isinstance(vector, PartOp)
    assert vector.figures() == ("count", "lanes")
    assert vector.source("lanes") == "measured: bench"
    assert vector.source("count") == "press: somewhere"


_MATMUL = 'chip.matmul @m {lanes = 4, width = 8, formats = ["int8"]}'
_SYSTEM = in_design("") + "chip.system @s {"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (in_core(_MATMUL.replace("lanes", "lane")), "unknown parameter 'lane'. Did you mean lanes?"),
        (in_core("chip.vector @v {}"), "missing parameter 'lanes' (Elements a cycle): a whole number from 1"),
        (in_core("chip.vector @v {lanes = 0}"), "lanes: expected a whole number from 1 to 2^40, got 0"),
        (in_core("chip.vector @v {lanes = -4}"), "lanes: expected a whole number from 1"),
        (in_core("chip.vector @v {lanes = true}"), "lanes: expected a whole number from 1"),
        (
            in_design('chip.calibration @c {law = "l", values = {}, fitted_on = "x", residual = false}'),
            "residual: expected a plain number, zero or above, got false",
        ),
        (in_core("chip.vector @v {lanes = 1.5}"), "lanes: expected a whole number from 1 to 2^40, got 1.5"),
        (in_core("chip.vector @v count(0) {lanes = 1}"), "count: expected a whole number from 1, got 0"),
        (in_core(_MATMUL.replace("int8", "int88")), "unknown number format 'int88'"),
        (in_core(_MATMUL.replace("int8", "bfloat61")), "unknown number format 'bfloat61'. Did you mean bfloat16"),
        (in_core(_MATMUL.replace('["int8"]', '["int8", "int8"]')), "a number format is listed twice"),
        (in_core(_MATMUL.replace("}", ", rates = {int4 = 2}}")), "rates: int4 is not among the formats int8"),
        (in_core(_MATMUL.replace("}", ", rates = {int8 = 0}}")), "expected a rate above zero for int8"),
        (in_core(_MATMUL.replace("}", ', sparsity = "4:2"}')), 'expected a pattern like "2:4"'),
        (in_core(_MATMUL.replace("}", ', dataflow = "tile"}')), "expected one of dot_product, weight_stationary"),
        (in_core('chip.sram @s {capacity = "2 GHz", width = 8}'), "'2 GHz' is a frequency, not a capacity"),
        (in_core("chip.sram @s {capacity = 4096, width = 8}"), '4096 has no unit; a capacity is written like "16 GiB"'),
        (in_core('chip.sram @s {capacity = "0 B", width = 8}'), "expected a capacity above zero"),
        (in_core('chip.sram @s {capacity = "1 KiB"}'), "state its width in bytes a cycle or its bandwidth"),
        (in_core('chip.sram @s {capacity = "1 KiB", width = 10, banks = 4}'), "10 bytes do not divide over 4 banks"),
        (in_core('chip.vector @v {lanes = 1} sources {lane = "press: x"}'), "no figure 'lane' is stated here"),
        (in_core('chip.vector @v {lanes = 1} sources {lanes = "hearsay: x"}'), 'expected "status: where from"'),
        (in_core('chip.vector @v {lanes = 1} sources {lanes = "press: "}'), 'expected "status: where from"'),
        (in_core("chip.vector @c {lanes = 1}"), "two parts are called @c: chip.core and chip.vector"),
        (in_core("builtin.module {}"), "chip.core @c holds parts of a chip, not builtin.module"),
        (in_design(_MATMUL), "chip.matmul @m belongs in chip.core, not in chip.design"),
        (in_core(in_design("")), "chip.design @d belongs in builtin.module, not in chip.core"),
        ('chip.design @d attributes {clock = "1 GHz"} {}', "missing parameter 'process'"),
        ('chip.design @d attributes {process = "7 nm", clock = 1} {}', 'a frequency is written like "1 GHz"'),
        (_SYSTEM + "}", "chip.system @s holds no chip.instance"),
        (_SYSTEM + "chip.instance @i {design = @e}}", "chip.instance @i: no design @e. Known: d."),
        (_SYSTEM + 'chip.instance @i {design = "d"}}', "design: expected a symbol like @name"),
        (
            _SYSTEM
            + 'chip.instance @i {design = @d} chip.link @l {kind = "x", bandwidth = "1 GB/s", instances = [@j]}}',
            "@l joins no instance @j. Known: i.",
        ),
    ],
)
def test_refusals_say_what_would_be_right(text: str, message: str) -> None:
    assert message in refusal(text)
    # What the custom form refuses while parsing, the verifier refuses of generic form: nothing enters by the back door.
    assert "test.mlir" in refusal(text) or "chip." in refusal(text)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ('sym_name = "v", parameters = {lane = 1 : i64}', "unknown parameter 'lane'"),
        ('sym_name = "v", parameters = {lanes = 1 : i64}, count = 0 : i64', "count: expected a whole number from 1"),
        ('sym_name = "v", parameters = {lanes = 1 : i64}, sources = {lanes = 3 : i64}', "status: where from"),
    ],
)
def test_generic_form_is_held_to_the_same(properties: str, message: str) -> None:
    assert message in refusal(in_core(f'"chip.vector"() <{{{properties}}}> : () -> ()'))


def test_a_parse_error_names_its_line() -> None:
    with pytest.raises(ParseError) as error:
        parse(in_core("\n\nchip.vector @v {lane = 1}"))
    assert str(error.value.span.get_location()).startswith("test.mlir:3:")


def test_attributes_beside_the_parameters_are_refused() -> None:
    text = '"chip.vector"() <{sym_name = "v", parameters = {lanes = 1 : i64}}> {hint = 1 : i64} : () -> ()'
    assert "takes no attributes beside its parameters, got hint" in refusal(in_core(text))


def test_a_system_counts_its_instances() -> None:
    module = parse(
        _SYSTEM + "chip.instance @a count(8) {design = @d} chip.instance @b {design = @d} "
        'chip.link @l {kind = "ethernet", bandwidth = "50 GB/s", topology = "dragonfly", instances = [@a, @b]}}'
    )
    system = list(module.ops)[1]
    assert isinstance(system, SystemOp)
    assert sum(instance.part().count for instance in system.instances) == 9
    assert {instance.design().sym_name.data for instance in system.instances} == {"d"}


def test_every_parameter_is_documented() -> None:
    for op in _LEAVES.values():
        assert op.__doc__ and op.RECORD.__doc__
        for key, parameter in parameters(op.RECORD).items():
            assert parameter.doc, f"{op.name}.{key}"


def ranged(source: str) -> str:
    return f'chip.design @x attributes {{process = "7 nm", clock = "1 GHz"}} sources {{{source}}} {{}}'


@pytest.mark.parametrize("ends", ["0.5 to 2 GHz", "500 MHz to 2 GHz", "2 GHz to 500 MHz"])
def test_a_source_may_end_with_the_range_of_its_figure(ends: str) -> None:
    (design,) = parse(ranged(f'clock = "estimated: unknown; range {ends}"')).ops
    assert isinstance(design, DesignOp)
    assert design.part().ranges == {"clock": (5e8, 2e9)}


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ("2 to 3 GHz", "does not hold the figure"),
        ("0.5 to 2 W", "frequency"),
        ("0.5 to 2", "a range of 0.5"),
        ("0 to 2 GHz", "above zero"),
        ("about 2 GHz", "range LOW to HIGH"),
    ],
)
def test_a_range_that_is_none_of_its_figure_is_refused(ends: str, message: str) -> None:
    assert message in refusal(ranged(f'clock = "estimated: unknown; range {ends}"'))


def test_a_range_is_of_one_figure() -> None:
    assert "a range is of one figure" in refusal(ranged('others = "estimated: unknown; range 0.5 to 2 GHz"'))
