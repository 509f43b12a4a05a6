"""What commands print: one JSON document or something to read, on stdout; progress on stderr."""

import json
import sys
from contextlib import AbstractContextManager, contextmanager
from math import floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.console import Console, RenderableType
    from rich.status import Status

_PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


class Output:
    """Where a command prints what people read: stdout, or stderr where stdout holds a JSON document."""

    def __init__(self, *, stderr: bool = False):
        self._console = _console(stderr=stderr)

    def headline(self, text: str) -> None:
        """Begin a step."""
        self._console.print(f"\n{text}", style="bold")

    def line(self, text: str, *, style: str = "") -> None:
        """A line, never broken."""
        self._console.print(text, style=style, soft_wrap=True)

    def write(self, text: str) -> None:
        """A piece of text, at once."""
        self._console.file.write(text)
        self._console.file.flush()

    def show(self, content: "RenderableType") -> None:
        """Something of rich's, such as a table."""
        self._console.print(content)


def note(text: str) -> None:
    """A remark on stderr, beside the result."""
    Output(stderr=True).line(text, style="dim")


def as_json(document: object) -> str:
    """`document` as the text of a JSON file."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_json(document: object) -> None:
    """Write `document` to stdout as the one JSON document of a command."""
    sys.stdout.write(as_json(document))


def progress(doing: str) -> "AbstractContextManager[Status]":
    """Show on stderr, while the block runs, what is being done; nothing where stderr is no terminal."""
    return _console(stderr=True).status(doing)


@contextmanager
def progress_bar(of: str) -> "Generator[Callable[[int, int], None]]":
    """A bar on stderr that the block moves by telling how many are done, of how many; nothing where stderr is no
    terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = _console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(of, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def quantity(value: float | None, unit: str, *, prefixes: bool = True) -> str:
    """`value` in three digits with an SI prefix, ``1.23 ms``; a dash where there is none."""
    if value is None:
        return "-"
    if value == 0:
        return f"0 {unit}".rstrip()
    exponent = 3 * floor(log10(abs(value)) / 3) if prefixes else 0
    exponent = max(min(exponent, max(_PREFIXES)), min(_PREFIXES))
    scaled = value / 10**exponent
    digits = max(0, 2 - floor(log10(abs(scaled))))
    return f"{scaled:,.{digits}f} {_PREFIXES[exponent]}{unit}".rstrip()


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    # Names come from strangers' files: nothing in them is markup.
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)
