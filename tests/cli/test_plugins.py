"""Plugins as the command line meets them: commands they add, and broken ones."""

import json
from importlib.metadata import EntryPoint, entry_points

import pytest

from codesign.plugins import manager


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Install a plugin: a module of the given text, under an entry point of the given name."""
    manager.plugins.cache_clear()

    def install(name: str, text: str) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / f"{name}_plugin.py").write_text(text)
        points = [*entry_points(group=manager.GROUP), EntryPoint(name, f"{name}_plugin", manager.GROUP)]
        monkeypatch.setattr(manager, "entry_points", lambda group: points)

    yield install
    manager.plugins.cache_clear()


def test_a_plugin_that_cannot_be_imported_is_named_and_the_others_go_on(codesign, install):
    install("sour", "raise RuntimeError('gone off')")
    outcome = codesign("list", "plugins", "--json")
    assert outcome.code == 0
    assert "warning: plugin 'sour'" in outcome.err and "gone off" in outcome.err
    found = {plugin["name"]: plugin for plugin in json.loads(outcome.out)["plugins"]}
    assert found["sour"]["status"] == "broken" and "gone off" in found["sour"]["error"]
    assert found["builtin"]["status"] == found["numpy"]["status"] == "loaded"
    assert codesign("run", "embedded", "--tokens", "1", "--max-tokens", "2").code == 0


def test_a_plugin_adds_a_command(codesign, install):
    install(
        "greeting",
        "from codesign.plugins import hookimpl\n"
        "@hookimpl\n"
        "def register_commands(app):\n"
        "    @app.command()\n"
        "    def greet():\n"
        "        'Say hello.'\n"
        "        print('hello')\n",
    )
    assert codesign("greet").out == "hello\n"
    assert "Say hello." in codesign("--help").out


def test_a_plugin_whose_commands_fail_takes_no_other_down(codesign, install):
    install(
        "clumsy",
        "from codesign.plugins import hookimpl\n@hookimpl\ndef register_commands(app):\n    raise KeyError('oops')\n",
    )
    outcome = codesign("list", "models")
    assert outcome.code == 0
    assert "embedded" in outcome.out
    assert "oops" in outcome.err


def test_a_backend_of_another_interface_is_refused_by_name(codesign, install):
    install(
        "future",
        "from types import SimpleNamespace\n"
        "from codesign.plugins import hookimpl\n"
        "@hookimpl\n"
        "def register_backends():\n"
        "    return [SimpleNamespace(name='future', description='', api_version=99)]\n",
    )
    outcome = codesign("list", "backends")
    assert outcome.code == 1
    assert "'future'" in outcome.error and "99" in outcome.error
