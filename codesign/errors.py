"""The errors a user can cause. Each says what was wrong, where, and what would be right."""

from collections.abc import Iterable
from difflib import get_close_matches


class CodesignError(Exception):
    """Base of every error that is the input's fault; the command line prints it as one line and exits 1."""


class UsageError(CodesignError):
    """A command, option or name that does not exist; the command line exits 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean …?"`` with the closest known names, or the whole list when none is close."""
    choices = sorted(known)
    close = get_close_matches(name, choices, n=3, cutoff=0.5)
    if close:
        return f" Did you mean {', '.join(close)}?"
    return f" Known: {', '.join(choices)}." if choices else ""
