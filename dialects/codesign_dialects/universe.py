"""Codesign's dialects and passes for a plain ``xdsl-opt``."""

from xdsl.ir import Dialect
from xdsl.universe import Universe


def _formats() -> Dialect:
    from codesign_dialects.formats import Formats

    return Formats


def _transformer() -> Dialect:
    from codesign_dialects.transformer import Transformer

    return Transformer


def _chip() -> Dialect:
    from codesign_dialects.chip import Chip

    return Chip


def _generic() -> Dialect:
    from codesign_dialects.generic import Generic

    return Generic


def _microcode() -> Dialect:
    from codesign_dialects.microcode import Microcode

    return Microcode


DIALECTS = {
    "formats": _formats,
    "transformer": _transformer,
    "generic": _generic,
    "chip": _chip,
    "microcode": _microcode,
}
"""Every dialect, imported on first use."""

CODESIGN_UNIVERSE = Universe(all_dialects=DIALECTS)
