"""The wheel: every package, every file that the code reads, and what other programs find it by."""

import configparser
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
SOURCES = {
    "codesign": ROOT / "codesign",
    "codesign_dialects": ROOT / "dialects" / "codesign_dialects",
    "codesign_numpy": ROOT / "backends" / "codesign_numpy",
    "codesign_numba": ROOT / "backends" / "codesign_numba",
    "codesign_cost": ROOT / "backends" / "codesign_cost",
    "codesign_verilog": ROOT / "backends" / "codesign_verilog",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_every_file_of_every_package_is_in_it(wheel) -> None:
    """Modules, RTL, testbench, chips, tables, the embedded model: whatever lies in a package's folder."""
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        str(Path(package) / path.relative_to(folder))
        for package, folder in SOURCES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    for needed in (
        "codesign/models/embedded/model.safetensors",
        "codesign/models/embedded/tokenizer.json",
        "codesign/models/embedded-mixture/model.safetensors",
        "codesign/models/embedded-ternary/model.safetensors",
        "codesign/chips/edge.mlir",
        "codesign_verilog/rtl/matmul.sv",
        "codesign_verilog/testbench/tb.sv",
        "codesign_dialects/universe.py",
    ):
        assert needed in packed


def test_data_files_are_whole(wheel) -> None:
    for name in ("codesign/models/embedded/model.safetensors", "codesign/chips/edge.mlir"):
        assert wheel.read(name) == (ROOT / name).read_bytes()


def test_entry_points(wheel) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(wheel.read(name).decode())
    assert dict(parser["console_scripts"]) == {"codesign": "codesign.cli:main"}
    assert dict(parser["xdsl.universe"]) == {"codesign": "codesign_dialects.universe:CODESIGN_UNIVERSE"}
    assert dict(parser["codesign"]) == {
        "builtin": "codesign.builtin",
        "numpy": "codesign_numpy.plugin",
        "numba": "codesign_numba.plugin",
        "cost": "codesign_cost.plugin",
        "verilog": "codesign_verilog.plugin",
    }


def test_license_and_metadata(wheel) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = wheel.read(name).decode()
    assert "\nLicense-Expression: Apache-2.0 WITH LLVM-exception\n" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    required = {
        line.split()[1] for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line
    }
    assert {requirement.split(">")[0] for requirement in required} == {"xdsl", "numpy", "typer", "rich", "pluggy"}
