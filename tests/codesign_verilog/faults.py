"""Injected faults: a copy of the RTL in which one file holds one."""

from pathlib import Path


def faulty_copy(rtl: list[Path], fault: tuple[str, str, str], folder: Path) -> list[Path]:
    """Return the RTL with one file replaced by a copy in ``folder``; a fault is the file, a text that is there once,
    and its replacement."""
    name, original, replacement = fault
    source = next(path for path in rtl if path.name == name)
    text = source.read_text()
    assert text.count(original) == 1, f"{name} no longer holds {original!r} once: state the fault anew"
    copy = folder / name
    copy.write_text(text.replace(original, replacement))
    return [copy if path.name == name else path for path in rtl]
