"""The pages do what they say: their commands and their Python run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codesign.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README, TUTORIAL = (ROOT / page for page in ("README.md", "docs/tutorial.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_tutorial_runs(tmp_path):
    script = "\n".join(["set -euxo pipefail", *blocks(TUTORIAL, "sh")])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "0 mismatches" in done.stdout


def test_the_readme_s_python_runs(tmp_path):
    (code,) = blocks(README, "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=["README", "tutorial"])
def test_every_command_is_documented(page):
    text = page.read_text()
    missing = [name for name in COMMANDS if f"codesign {name}" not in text and name != "demo"]
    assert not missing


def test_links_lead_somewhere():
    for page in (README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page}: {target}"
