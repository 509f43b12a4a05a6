"""What a frontend is: a reader of somebody's model file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from codesign.program import Program
from codesign.weights import StoredTensor


class Frontend(Protocol):
    """Reads one kind of model source into a program."""

    @property
    def name(self) -> str:
        """The name shown by ``codesign list frontends``."""
        ...

    @property
    def description(self) -> str:
        """One line: what it reads."""
        ...

    def accepts(self, source: Path) -> bool:
        """Whether `source` is of this kind; looks at names and first bytes only."""
        ...

    def load(self, source: Path) -> Program:
        """Read `source`.

        Raises
        ------
        CodesignError
            When the file is broken or holds something unsupported; says which, where, and what would be right.
        """
        ...


@runtime_checkable
class ObjectReader(Frontend, Protocol):
    """A frontend that also reads objects of another library that are alive in this process."""

    def accepts_object(self, source: object) -> bool:
        """Whether `source` is of this kind; imports nothing to tell."""
        ...

    def load_object(self, source: object) -> Program:
        """Read `source`, as :meth:`load` reads the file that it could be written to."""
        ...


@runtime_checkable
class GraphReader(Frontend, Protocol):
    """A frontend of graphs, which `load` reads as decoders where they are such."""

    def graph(self, source: Path) -> Program:
        """Read `source` as the graph of generic operators that it is."""
        ...


@runtime_checkable
class WeightsReader(Frontend, Protocol):
    """A frontend whose files hold weights in a form that it alone reads."""

    def weights(self, source: Path) -> Mapping[str, StoredTensor]:
        """The tensors that the parameters of the program of `source` name; what :meth:`load` gives with it."""
        ...
