"""What an exporter is: a writer of a program as somebody's model file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from codesign.program import Program


class Exporter(Protocol):
    """Writes programs as one kind of file or folder."""

    @property
    def name(self) -> str:
        """The name shown by ``codesign list exporters``."""
        ...

    @property
    def description(self) -> str:
        """One line: what it writes."""
        ...

    @property
    def suffix(self) -> str:
        """How what it writes is called, ``.gguf``; empty for a folder."""
        ...

    def export(self, program: Program, target: Path) -> Sequence[str]:
        """Write `program` to `target`, whole or not at all; return remarks on what is written otherwise than the
        program stores it.

        Raises
        ------
        CodesignError
            When the program holds something that such a file cannot; says what, and what would be right.
        """
        ...
