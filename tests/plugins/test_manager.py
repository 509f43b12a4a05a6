"""Plugins: found by entry point, ours first; what each registers; what a broken one does."""

import sys
from importlib.metadata import EntryPoint, entry_points
from types import SimpleNamespace

import pytest

from codesign.errors import CodesignError, UsageError
from codesign.plugins import API_VERSION, hooks
from codesign.plugins.backend import Backend, CostModel, CycleModel, Emitter, Executor
from codesign.plugins.manager import GROUP, load
from codesign.units import Unit
from codesign_dialects.encoding import ENCODINGS, Encoding, number_format, plain

OURS = list(entry_points(group=GROUP))


@pytest.fixture
def install(monkeypatch, tmp_path):
    """``install(name, text)``: the plugins with one more, a module of that text."""

    def install(name: str, text: str):
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / f"{name}_under_test.py").write_text(f"from codesign.plugins import hookimpl\n{text}")
        monkeypatch.delitem(sys.modules, f"{name}_under_test", raising=False)
        return load([EntryPoint(name, f"{name}_under_test", GROUP), *OURS])

    return install


def test_everything_built_in_comes_through_the_hooks() -> None:
    plugins = load(OURS)
    assert {"builtin", "numpy", "cost", "verilog"} <= {plugin.name for plugin in plugins.found}
    assert not plugins.broken
    assert {"formats", "transformer", "chip", "microcode", "builtin", "func"} <= plugins.dialects().keys()
    assert {"quantize", "block-attention", "lower-to-microcode", "schedule"} <= plugins.passes().keys()
    assert {"load", "matmul", "vector", "quantizer", "argmax"} <= plugins.units().keys()
    assert {"edge", "h100", "groq-lpu"} <= plugins.chips().keys()
    assert [frontend.name for frontend in plugins.frontends()] == ["gguf", "onnx", "torch_export", "huggingface"]
    assert all(path.exists() for path in (*plugins.models().values(), *plugins.chips().values()))
    for backend in plugins.backends().values():
        assert isinstance(backend, Backend) and backend.api_version == API_VERSION
    kinds = {kind: plugins.backend(kind).name for kind in (Executor, CostModel, CycleModel, Emitter)}
    assert len(set(kinds.values())) == 4, "each does one thing"


def test_without_entry_points_there_is_nothing() -> None:
    plugins = load([])
    assert plugins.found == [] and plugins.units() == {} and plugins.backends() == {}
    with pytest.raises(UsageError, match="no Executor is installed"):
        plugins.backend(Executor)


def test_a_broken_plugin_is_kept_with_its_error_and_takes_none_down(install) -> None:
    plugins = install("sour", "raise RuntimeError('gone off')")
    (broken,) = plugins.broken
    assert (broken.name, broken.error) == ("sour", "RuntimeError: gone off")
    assert "quantize" in plugins.passes()
    assert plugins.backend(Executor).name == "numpy"


def test_a_plugin_that_is_not_there(install) -> None:
    plugins = load([EntryPoint("absent", "no_such_module_anywhere", GROUP), *OURS])
    (broken,) = plugins.broken
    assert broken.error is not None and broken.error.startswith("ModuleNotFoundError")


def test_what_a_plugin_registers_is_used_and_said(install) -> None:
    plugins = install(
        "extra",
        "@hookimpl\n"
        "def register_units():\n"
        "    from codesign.units.load import LOAD\n"
        "    from dataclasses import replace\n"
        "    return [replace(LOAD, name='fast_load')]\n"
        "@hookimpl\n"
        "def register_models():\n"
        "    return {'mine': __import__('pathlib').Path('/nowhere')}\n",
    )
    assert isinstance(plugins.units()["fast_load"], Unit)
    assert "mine" in plugins.models() and "embedded" in plugins.models()
    (found,) = [plugin for plugin in plugins.found if plugin.name == "extra"]
    assert set(found.hooks) == {"register_units", "register_models"}
    assert [plugin.name for plugin in plugins.found][-1] == "extra", "ours come first"


@pytest.mark.parametrize(
    ("hook", "value", "message"),
    [
        ("register_chips", "{'edge': None}", "two plugins register a chip named 'edge'"),
        ("register_models", "{'embedded': None}", "two plugins register a model named 'embedded'"),
        ("register_passes", "{'quantize': None}", "two plugins register a pass named 'quantize'"),
        ("register_dialects", "{'chip': None}", "two plugins register a dialect named 'chip'"),
    ],
)
def test_two_of_one_name_are_refused(install, hook, value, message) -> None:
    plugins = install("twin", f"@hookimpl\ndef {hook}():\n    return {value}\n")
    with pytest.raises(CodesignError, match=message):
        getattr(plugins, hook.removeprefix("register_"))()


def test_a_number_format_of_a_plugin_reads_and_prints_by_its_name(install, monkeypatch) -> None:
    monkeypatch.setattr("codesign_dialects.encoding.ENCODINGS", known := dict(ENCODINGS))
    monkeypatch.setattr("codesign_dialects.formats.ENCODINGS", known)
    plugins = install(
        "formats",
        "@hookimpl\n"
        "def register_number_formats():\n"
        "    from codesign_dialects.encoding import Encoding, number_format, plain\n"
        "    return {'odd': Encoding(number_format('int3'), plain('float16'), block=24)}\n",
    )
    from xdsl.parser import Parser

    attribute = Parser(plugins.context(), "#formats.encoding<odd>").parse_attribute()
    assert attribute.data == Encoding(number_format("int3"), plain("float16"), block=24)
    assert str(attribute) == "#formats.encoding<odd>"


def test_a_backend_of_another_interface_is_refused_by_name(install) -> None:
    plugins = install(
        "future",
        "@hookimpl\n"
        "def register_backends():\n"
        "    from types import SimpleNamespace\n"
        "    return [SimpleNamespace(name='future', description='', api_version=99)]\n",
    )
    with pytest.raises(CodesignError, match="backend 'future' was written for interface version 99; this is 1"):
        plugins.backends()


def test_a_backend_by_name() -> None:
    plugins = load(OURS)
    assert plugins.backend(Executor, "numpy").name == "numpy"
    with pytest.raises(UsageError, match=r"no Executor 'numpi' is installed\. Did you mean numpy"):
        plugins.backend(Executor, "numpi")
    with pytest.raises(UsageError, match="no Executor 'verilog' is installed"):
        plugins.backend(Executor, "verilog")


def test_every_hook_says_what_it_is_for() -> None:
    specified = {name: getattr(hooks, name) for name in dir(hooks) if name.startswith("register_")}
    assert len(specified) >= 9
    assert all(hook.__doc__ for hook in specified.values())
    manager = load(OURS).manager
    assert {name for name in specified if manager.hook.__dict__.get(name)} == set(specified)


def test_the_context_refuses_unknown_operations() -> None:
    from xdsl.parser import Parser
    from xdsl.utils.exceptions import ParseError

    with pytest.raises(ParseError, match=r"nobodys\.op"):
        Parser(load(OURS).context(), '"nobodys.op"() : () -> ()').parse_module()


def test_a_namespace_is_no_backend() -> None:
    assert not isinstance(SimpleNamespace(name="x"), Backend)
