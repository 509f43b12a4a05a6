"""Finding plugins, and asking them for what they register.

A plugin that cannot be loaded is kept, with its distribution and its error, in :attr:`Plugins.broken`: it never takes
the others down, and it is never passed over in silence.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from pluggy import HookCaller, PluginManager

from codesign.errors import CodesignError, UsageError, nearest
from codesign.plugins import API_VERSION, hooks

if TYPE_CHECKING:
    from typer import Typer
    from xdsl.context import Context
    from xdsl.ir import Dialect
    from xdsl.passes import ModulePass

    from codesign.plugins.backend import Backend
    from codesign.plugins.exporter import Exporter
    from codesign.plugins.family import Family
    from codesign.plugins.frontend import Frontend
    from codesign.plugins.kernels import Kernels
    from codesign.units import Unit
    from codesign_dialects.encoding import Encoding

GROUP = "codesign"
"""The entry-point group of plugins."""

_Value = TypeVar("_Value")
_BackendKind = TypeVar("_BackendKind")


@dataclass(frozen=True)
class Plugin:
    """A plugin as it was found."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    error: str | None = None


@dataclass
class Plugins:
    """All plugins, and what they register."""

    manager: PluginManager
    found: list[Plugin] = field(default_factory=list[Plugin])
    _chosen: "dict[tuple[type, str | None], object]" = field(default_factory=dict["tuple[type, str | None]", object])

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that could not be loaded, each with its error."""
        return [plugin for plugin in self.found if plugin.error is not None]

    def dialects(self) -> "dict[str, Callable[[], Dialect]]":
        """Dialects by name."""
        return self._mapping("register_dialects", "dialect")

    def passes(self) -> "dict[str, Callable[[], type[ModulePass]]]":
        """Passes by name."""
        return self._mapping("register_passes", "pass")

    def models(self) -> dict[str, Path]:
        """Models of the library by name."""
        return self._mapping("register_models", "model")

    def chips(self) -> dict[str, Path]:
        """Chips of the library by name."""
        return self._mapping("register_chips", "chip")

    def units(self) -> "dict[str, Unit]":
        """Kinds of hardware unit by name."""
        units = cast("list[Unit]", self._list("register_units"))
        return {unit.name: unit for unit in units}

    def frontends(self) -> "list[Frontend]":
        """Frontends in the order they are tried."""
        return cast("list[Frontend]", self._list("register_frontends"))

    def exporters(self) -> "list[Exporter]":
        """Exporters in the order they were registered."""
        return cast("list[Exporter]", self._list("register_exporters"))

    def families(self) -> "dict[str, Callable[[], Family]]":
        """Architecture families by ``model_type``."""
        return self._mapping("register_families", "family")

    def kernels(self) -> "dict[str, Callable[[], Kernels]]":
        """Compiled kernels by name."""
        return self._mapping("register_kernels", "kernel")

    def backends(self) -> "dict[str, Backend]":
        """Backends by name.

        Raises
        ------
        CodesignError
            When a backend was written for another version of the interface.
        """
        backends = {backend.name: backend for backend in cast("list[Backend]", self._list("register_backends"))}
        for backend in backends.values():
            if backend.api_version != API_VERSION:
                raise CodesignError(
                    f"backend '{backend.name}' was written for interface version {backend.api_version}; "
                    f"this is {API_VERSION}"
                )
        return backends

    def backend(self, kind: type[_BackendKind], name: str | None = None) -> _BackendKind:
        """The first backend of `kind`, or the one called `name`."""
        if (kind, name) in self._chosen:  # plugins register once; asking them takes as long as many a price
            return cast(_BackendKind, self._chosen[kind, name])
        backends = {key: backend for key, backend in self.backends().items() if isinstance(backend, kind)}
        first = next(iter(backends), None) if name is None else name
        if first not in backends:
            wanted = kind.__name__ if name is None else f"{kind.__name__} '{name}'"
            raise UsageError(f"no {wanted} is installed.{nearest(name or '', backends)}")
        self._chosen[kind, name] = backends[first]
        return backends[first]

    def register_number_formats(self) -> None:
        """Make every plugin's encodings known by name."""
        from codesign_dialects.encoding import ENCODINGS

        encodings: dict[str, Encoding] = self._mapping("register_number_formats", "number format")
        ENCODINGS.update(encodings)

    def add_commands(self, app: "Typer") -> None:
        """Let every plugin add its commands."""
        self.manager.hook.register_commands(app=app)

    def context(self) -> "Context":
        """A fresh xDSL context that knows every dialect, and refuses operations it does not know."""
        from xdsl.context import Context

        self.register_number_formats()
        context = Context()
        for name, factory in self.dialects().items():
            context.register_dialect(name, factory)
        return context

    def _ask(self, hook: str) -> list[object]:
        """Every plugin's answer, ours first; a plugin whose answer fails is broken, and does not silence the others."""
        answers: list[object] = []
        caller: HookCaller = getattr(self.manager.hook, hook)
        for implementation in caller.get_hookimpls():
            try:
                answers.append(implementation.function())
            except Exception as error:
                self._blame(implementation.plugin_name, hook, error)
        return answers

    def _blame(self, name: str, hook: str, error: Exception) -> None:
        message = f"{hook}: {type(error).__name__}: {error}"
        self.found = [
            replace(plugin, error=message) if plugin.name == name and plugin.error is None else plugin
            for plugin in self.found
        ]

    def _list(self, hook: str) -> list[object]:
        return [item for answer in cast("list[Iterable[object]]", self._ask(hook)) for item in answer]

    def _mapping(self, hook: str, kind: str) -> dict[str, _Value]:
        merged: dict[str, _Value] = {}
        for answer in cast("list[Mapping[str, _Value]]", self._ask(hook)):
            for name, value in answer.items():
                if name in merged:
                    raise CodesignError(f"two plugins register a {kind} named '{name}'")
                merged[name] = value
        return merged


def load(points: Iterable[EntryPoint]) -> Plugins:
    """Load the plugins that `points` name, our own first."""
    manager = PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    plugins = Plugins(manager)
    for point in sorted(points, key=lambda point: (_distribution(point)[0] != "codesign", point.name)):
        distribution, version = _distribution(point)
        try:
            module = point.load()
            manager.register(module, name=point.name)
        except Exception as error:
            plugins.found.append(Plugin(point.name, distribution, version, error=f"{type(error).__name__}: {error}"))
            continue
        implemented = tuple(caller.name for caller in manager.get_hookcallers(module) or [])
        plugins.found.append(Plugin(point.name, distribution, version, implemented))
    return plugins


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")


@cache
def plugins() -> Plugins:
    """The installed plugins, loaded once."""
    return load(entry_points(group=GROUP))
