"""``codesign list``: what is installed."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.options import Json
from codesign.cli.output import Output, write_json

if TYPE_CHECKING:
    from codesign.plugins.manager import Plugins

Entry = Mapping[str, str | None]


class Kind(StrEnum):
    """What there is to list."""

    MODELS = "models"
    CHIPS = "chips"
    PASSES = "passes"
    BACKENDS = "backends"
    FRONTENDS = "frontends"
    EXPORTERS = "exporters"
    FORMATS = "formats"
    UNITS = "units"
    PLUGINS = "plugins"


def list_installed(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)], json: Json = False
) -> None:
    """List what is installed."""
    from codesign.plugins.manager import plugins

    entries = _LISTS[kind](plugins())
    if json:
        write_json({str(kind): entries})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for entry in entries:
        table.add_row(*(value or "" for value in entry.values()))
    Output().show(table)


def _models(plugins: "Plugins") -> list[Entry]:

    return [{"name": name, "path": str(path)} for name, path in plugins.models().items()]


def _chips(plugins: "Plugins") -> list[Entry]:

    return [{"name": name, "path": str(path)} for name, path in plugins.chips().items()]


def _passes(plugins: "Plugins") -> list[Entry]:

    return [{"name": name, "description": summary(load())} for name, load in plugins.passes().items()]


def _backends(plugins: "Plugins") -> list[Entry]:

    return [{"name": name, "description": item.description} for name, item in plugins.backends().items()]


def _frontends(plugins: "Plugins") -> list[Entry]:

    return [{"name": frontend.name, "description": frontend.description} for frontend in plugins.frontends()]


def _exporters(plugins: "Plugins") -> list[Entry]:

    return [{"name": exporter.name, "description": exporter.description} for exporter in plugins.exporters()]


def _formats(plugins: "Plugins") -> list[Entry]:
    from codesign_dialects.encoding import ENCODINGS, NUMBER_FORMATS

    plugins.register_number_formats()
    integers = [{"name": "intN, uintN", "stored as": "N bits, N from 1 to 64"}]
    numbers = [{"name": name, "stored as": f"{number.bits} bits"} for name, number in NUMBER_FORMATS.items()]
    encodings = [{"name": name, "stored as": encoding.structure()} for name, encoding in ENCODINGS.items()]
    return [*integers, *numbers, *encodings]


def _units(plugins: "Plugins") -> list[Entry]:

    return [{"name": name, "description": unit.description} for name, unit in plugins.units().items()]


def _plugins(plugins: "Plugins") -> list[Entry]:

    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "status": "loaded" if plugin.error is None else "broken",
            "error": plugin.error,
        }
        for plugin in plugins.found
    ]


_LISTS: "Mapping[Kind, Callable[[Plugins], list[Entry]]]" = {
    Kind.MODELS: _models,
    Kind.CHIPS: _chips,
    Kind.PASSES: _passes,
    Kind.BACKENDS: _backends,
    Kind.FRONTENDS: _frontends,
    Kind.EXPORTERS: _exporters,
    Kind.FORMATS: _formats,
    Kind.UNITS: _units,
    Kind.PLUGINS: _plugins,
}


def summary(thing: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(cleandoc(thing.__doc__ or "").split("\n\n")[0].split())
