"""What a frontend is: a reader of somebody's model file."""

from pathlib import Path
from typing import Protocol

from codesign.program import Program


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
