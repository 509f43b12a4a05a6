"""IR as text: modules parsed and verified, pass pipelines parsed and applied."""

from collections.abc import Callable

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, get_pass_option_infos
from xdsl.utils.arg_spec import parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, ParseError, PassFailedException, VerifyException

from codesign.errors import CodesignError, UsageError, nearest
from codesign.plugins.manager import Plugins
from codesign.plugins.program_pass import ProgramPass
from codesign.program import Program, check_version
from codesign_dialects.microcode import ProgramOp
from codesign_dialects.text import one_line, parse_text

BEFORE_MICROCODE = frozenset(
    ("rotate", "quantize", "sparsify", "moefy", "route-moe", "block-attention", "fuse", "specialize")
)
"""Passes that change what ``lower-to-microcode`` reads."""

Passes = dict[str, Callable[[], type[ModulePass]]]


def parse_module(text: str, where: str, context: Context) -> ModuleOp:
    """Parse and verify the text of a module.

    Raises
    ------
    CodesignError
        Where the text is not IR, does not verify, or is of another version.
    """
    try:
        module = parse_text(text, where, context)
    except ParseError as error:
        raise CodesignError(f"{error.span.get_location()}: {one_line(error.msg)}") from error
    except VerifyException as error:
        raise CodesignError(f"{where}: {one_line(error)}") from error
    check_version(module, where)
    verify(module, where)
    return module


def verify(module: ModuleOp, where: str) -> None:
    """Raise :class:`CodesignError` for the first thing that does not hold."""
    try:
        module.verify()
    except VerifyException as error:
        raise CodesignError(f"{where}: {one_line(error)}") from error


def parse_passes(pipeline: str, plugins: Plugins) -> tuple[ModulePass, ...]:
    """The passes that a pipeline's text names, ``quantize{weights=int8},block-attention``.

    Raises
    ------
    UsageError
        For a text that is not a pipeline, a pass that does not exist, or an option that the pass does not take.
    """
    if not pipeline.strip():
        return ()
    known = plugins.passes()
    try:
        specs = list(parse_pipeline(pipeline))
    except ArgSpecParseError as error:
        raise UsageError(f"pipeline {pipeline!r}: {one_line(error)}") from error
    parsed: list[ModulePass] = []
    for spec in specs:
        if spec.name not in known:
            raise UsageError(f"no pass is called '{spec.name}'.{nearest(spec.name, known)}")
        pass_type = known[spec.name]()
        try:
            parsed.append(pass_type.from_spec(spec))
        except Exception as error:  # xDSL raises bare exceptions for unknown and ill-typed options
            raise UsageError(f"{spec.name}: {one_line(error)}. {pass_options(pass_type)}") from error
    return tuple(parsed)


def pass_options(pass_type: type[ModulePass]) -> str:
    """The options of a pass, as a sentence."""
    options = get_pass_option_infos(pass_type)
    if not options:
        return f"{pass_type.name} takes no options."
    return "Options: " + ", ".join(f"{option.name}: {option.expected_type}" for option in options) + "."


def apply_passes(
    program: Program,
    passes: tuple[ModulePass, ...],
    context: Context,
    after: Callable[[ModulePass, ModuleOp], None] | None = None,
) -> Program:
    """A copy of `program` with `passes` applied in order and the result verified; `after` sees the module after
    each."""
    result = program.with_module(program.module.clone())
    try:
        for done in passes:
            _refuse_lowered(done, result.module)
            if isinstance(done, ProgramPass):
                result = done.rewrite(context, result)
            else:
                done.apply(context, result.module)
            if after is not None:
                after(done, result.module)
    except (PassFailedException, VerifyException) as error:
        raise CodesignError(f"a pass failed: {one_line(error)}") from error
    verify(result.module, f"after {', '.join(pass_.name for pass_ in passes)}" if passes else "module")
    return result


def _refuse_lowered(next: ModulePass, module: ModuleOp) -> None:
    """Refuse to change a model whose microcode is written already."""
    if next.name in BEFORE_MICROCODE and any(isinstance(op, ProgramOp) for op in module.ops):
        raise CodesignError(
            f"{next.name}: the module holds the model's microcode, which would stay as it is: {next.name} must come "
            "before lower-to-microcode"
        )
