"""The synthesis of a whole emitted chip: its pieces found, mapped, timed, and added up."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from codesign.plugins.backend import Synthesis, SynthesizedModule
from codesign_verilog.synthesis.cache import Cache
from codesign_verilog.synthesis.library import CELLS, Library, find_library
from codesign_verilog.synthesis.mapping import ABC_SCRIPT, NETLIST, Mapped, map_piece, recipe
from codesign_verilog.synthesis.piece import RTL, SRAMS, Piece, elaborate
from codesign_verilog.synthesis.sources import TOP, Sources, clock_period, read_sources
from codesign_verilog.synthesis.timing import critical_path, find_sta
from codesign_verilog.synthesis.yosys import yosys_version

TREE, TREE_WIDTH = "adder_tree", "Width"
"""The block that multiplies and sums, and the parameter that says how many products."""


def synthesize(directory: Path, liberty: Path | None, time_limit: float, on_step: Callable[[str], None]) -> Synthesis:
    """Synthesize the chip in `directory`, unit by unit.

    Parameters
    ----------
    liberty
        The cell library; None takes Nangate45 where it is installed, else generic cells.
    time_limit
        Seconds that each run of a tool may take.
    on_step
        Told what is being done.

    Raises
    ------
    CodesignError
        When the folder is not an emitted chip, or a tool is missing, fails, runs out of time or prints nonsense.
    """
    library, sources = find_library(liberty), read_sources(directory)
    context = (sources.hash, library.hash, yosys_version(), ABC_SCRIPT, *recipe(sources, Piece("MODULE"), library))
    links = {RTL: (directory / "rtl").resolve()} | ({} if library.path is None else {CELLS: library.path})
    cache = Cache((directory / "build" / "synthesis").resolve(), "\0".join(context), links)
    run = _Run(sources, library, clock_period(directory), find_sta(), cache, time_limit, on_step)
    return run.synthesis()


@dataclass(frozen=True)
class _Part:
    """A piece that was mapped: what stands apart in it, its own logic, its longest path."""

    instances: Mapping[str, Piece]
    own: Mapped
    path: float | None = None

    @property
    def blocks(self) -> Mapping[Piece, int]:
        return Counter(piece for piece in self.instances.values() if piece.module not in SRAMS)


@dataclass(frozen=True)
class _Run:
    """One chip on its way through the tools."""

    sources: Sources
    library: Library
    period: float
    sta: str | None
    cache: Cache
    time_limit: float
    on_step: Callable[[str], None]

    def synthesis(self) -> Synthesis:
        top = self._elaborate(Piece(TOP))
        parts = self._map_all(set(top.values()))
        if self.library.path is not None:
            self.on_step("timing")
            parts = {piece: replace(part, path=self._path(piece, parts)) for piece, part in parts.items()}
        instances: dict[Piece, list[str]] = {}
        for name, piece in top.items():
            instances.setdefault(piece, []).append(name.removeprefix("u_"))
        whole: Counter[Piece] = Counter()
        for piece in top.values():
            whole.update(_contents(piece, parts))
        modules = [self._module(piece, parts, tuple(instances.get(piece, ())), whole[piece]) for piece in sorted(parts)]
        return Synthesis(
            library=self.library.name,
            timing=None if self.library.path is None else "OpenSTA" if self.sta else "ABC",
            clock_ns=self.period,
            units=tuple(module for module in modules if module.instances),
            blocks=tuple(module for module in modules if not module.instances),
            mac_um2=_multiply_accumulate(parts),
        )

    def _module(
        self, piece: Piece, parts: Mapping[Piece, _Part], instances: tuple[str, ...], count: int
    ) -> SynthesizedModule:
        contents = _contents(piece, parts)
        areas = [number * (parts[part].own.area or 0.0) for part, number in contents.items()]
        return SynthesizedModule(
            module=piece.module,
            instances=instances,
            count=count,
            cells=sum(number * parts[part].own.cells for part, number in contents.items()),
            flip_flops=sum(number * parts[part].own.flip_flops for part, number in contents.items()),
            sram_bits=sum(
                number * sum(instance.sram_bits for instance in parts[part].instances.values())
                for part, number in contents.items()
            ),
            logic_um2=None if self.library.path is None else sum(areas),
            critical_path_ns=parts[piece].path,
        )

    def _map_all(self, pieces: set[Piece]) -> dict[Piece, _Part]:
        """Map `pieces` and, level by level, the blocks in them."""
        parts: dict[Piece, _Part] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while pieces:
                # The large units first, so that none is left alone at the end.
                ordered = sorted(pieces, reverse=True)
                parts |= zip(ordered, pool.map(self._part, ordered), strict=True)
                pieces = {block for piece in ordered for block in parts[piece].blocks} - parts.keys()
        return parts

    def _elaborate(self, piece: Piece) -> dict[str, Piece]:
        def make(folder: Path) -> object:
            return _as_json(elaborate(self.sources, piece, folder, self.time_limit))

        # What the top instantiates is not in the sources' hash.
        return _from_json(self.cache.result(piece.name, self.sources.path(piece.module).read_text(), make))

    def _part(self, piece: Piece) -> _Part:
        def make(folder: Path) -> object:
            self.on_step(f"mapping {piece.module} to {self.library.name}")
            instances = elaborate(self.sources, piece, folder, self.time_limit)
            own = map_piece(self.sources, piece, instances, folder, self.library, self.period, self.time_limit)
            return {"instances": _as_json(instances), "own": asdict(own)}

        result = cast(Mapping[str, object], self.cache.result(piece.name, str(self.period), make))
        return _Part(_from_json(result["instances"]), Mapped(**cast(dict[str, Any], result["own"])))

    def _path(self, piece: Piece, parts: Mapping[Piece, _Part]) -> float | None:
        """The longest path of a piece with its blocks: OpenSTA's, else the longest of ABC's in any of them."""
        contents = _contents(piece, parts)
        if self.sta is None:
            return max((path for part in contents if (path := parts[part].own.delay) is not None), default=None)
        sta, key = self.sta, str(self.period)
        netlists = {part.name: self.cache.folder(part.name, key) / NETLIST for part in contents}

        def make(folder: Path) -> object:
            self.on_step(f"timing {piece.module}")
            return critical_path(sta, netlists, piece.name, self.period, folder, self.time_limit)

        return cast(float | None, self.cache.result(f"{piece.name}-timing", key, make))


def _contents(piece: Piece, parts: Mapping[Piece, _Part]) -> Counter[Piece]:
    """A piece and every block in it, at any depth, with their numbers."""
    contents = Counter({piece: 1})
    for block, number in parts[piece].blocks.items():
        for part, count in _contents(block, parts).items():
            contents[part] += number * count
    return contents


def _multiply_accumulate(parts: Mapping[Piece, _Part]) -> float | None:
    """The area of one product of the dot product and its share of the adders and registers, in µm²."""
    trees = [(piece, part.own.area) for piece, part in parts.items() if piece.module == TREE]
    return next((area / piece.value(TREE_WIDTH) for piece, area in trees if area is not None), None)


def _as_json(instances: Mapping[str, Piece]) -> object:
    return {name: [piece.module, piece.parameters] for name, piece in instances.items()}


def _from_json(value: object) -> dict[str, Piece]:
    instances = cast(Mapping[str, tuple[str, Iterable[Iterable[int]]]], value)
    return {
        name: Piece(module, tuple(cast(tuple[str, int, int], tuple(parameter)) for parameter in parameters))
        for name, (module, parameters) in instances.items()
    }
