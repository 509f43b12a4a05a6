"""The command line: one file a command, each over ``codesign.api``.

Modules here import nothing heavy at the top, so that ``codesign --help`` is quick.
"""

import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, cast

import typer

from codesign import __version__
from codesign.cli.compute import compute
from codesign.cli.cost import cost
from codesign.cli.demo import demo
from codesign.cli.emit import emit
from codesign.cli.eval import evaluate
from codesign.cli.export import export
from codesign.cli.failures import USAGE, fail, warn
from codesign.cli.flexibility import flexibility
from codesign.cli.import_ import import_model
from codesign.cli.list import list_installed
from codesign.cli.opt import opt
from codesign.cli.run import run
from codesign.cli.show import show_one
from codesign.cli.simulate import simulate
from codesign.cli.synthesize import synthesize
from codesign.cli.validate import validate

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "import": import_model,
    "opt": opt,
    "run": run,
    "compute": compute,
    "eval": evaluate,
    "cost": cost,
    "flexibility": flexibility,
    "validate": validate,
    "export": export,
    "emit": emit,
    "simulate": simulate,
    "synthesize": synthesize,
    "list": list_installed,
    "show": show_one,
}
"""Our own commands by name; plugins add theirs through the hook ``register_commands``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 for a failure, 2 for bad usage, 130 when interrupted."""
    # A terminal without µ, or without a model's characters, shows question marks.
    cast(TextIOWrapper, sys.stdout).reconfigure(errors="replace")
    try:
        result = _app()(arguments, prog_name="codesign", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # xDSL's ArgSpecParseError is no Exception
        return fail(error)
    return result if isinstance(result, int) else 0


def _app() -> typer.Typer:
    app = typer.Typer(invoke_without_command=True, add_completion=False, callback=_codesign)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    _add_plugins(app)
    return app


def _add_plugins(app: typer.Typer) -> None:
    from codesign.plugins.manager import plugins

    found = plugins()
    for plugin in found.broken:
        warn(f"plugin '{plugin.name}' of {plugin.distribution or 'no distribution'} is broken: {plugin.error}")
    try:
        found.add_commands(app)
    except Exception as error:
        warn(f"a plugin's commands could not be added: {type(error).__name__}: {error}")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"codesign {__version__}")
        raise typer.Exit


def _codesign(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Design an LLM-inference chip and the model that runs on it together."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)
