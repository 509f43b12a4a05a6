"""docs/plugins.md: every hook is there, and the plugin it shows works."""

import inspect
import re
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import codesign
from codesign import api
from codesign.plugins import hooks, manager

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def test_every_hook_is_documented_and_nothing_else():
    specified = {name for name, _ in inspect.getmembers(hooks, inspect.isfunction) if name.startswith("register_")}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == specified


def test_the_plugin_works(tmp_path, monkeypatch, capsys):
    for path, text in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    (project,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (point,) = tomllib.loads(project)["project"]["entry-points"][manager.GROUP].items()
    plugins = manager.load([*entry_points(group=manager.GROUP), EntryPoint(*point, manager.GROUP)])
    assert not plugins.broken
    monkeypatch.setattr(api, "plugins", lambda: plugins)
    exec(re.findall(r"```python\n(import codesign\n.*?)```", PAGE, re.DOTALL)[0], {})
    printed = capsys.readouterr().out
    model = codesign.load_model("embedded")
    assert model.weights is not None
    stored = {source for parameter in model.parameters.values() for source in parameter.sources}
    assert f"'weight_bytes': {sum(model.weights[source].nbytes for source in stored)}," in printed
    for name in [name for name in sys.modules if name.startswith("codesign_bandwidth")]:
        del sys.modules[name]
