"""The block diagram of a chip as SVG: boxes in boxes, units colored by kind.

The picture holds text alone, every name escaped, and refers to nothing outside itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from codesign.report.blocks import Block

_FONT, _LINE, _PAD, _GAP = 12, 16, 10, 10
_CHARACTER = 7.3  # width of one in the monospace font, at its size
_LONGEST = 44  # characters of a line; what is longer is cut
_COLORS = {
    "system": "#f5f5f5", "instance": "#ededed", "design": "#fafafa", "core": "#eef3fa",
    "matmul": "#fbd5c5", "vector": "#fdebc8", "attention": "#f8d3e0", "quantizer": "#efe3c8", "router": "#efe3c8",
    "sram": "#cfe8d5", "memory": "#cfe0f5", "dma": "#d9e6e6",
    "link": "#e3d9f2", "host": "#e3d9f2", "network": "#e3d9f2", "scheduler": "#e4e4e4", "calibration": "#f0f0f0",
}  # fmt: skip


@dataclass(frozen=True)
class _Box:
    """A block with its size and where the boxes in it stand, relative to its corner."""

    block: Block
    lines: tuple[str, ...]
    width: float
    height: float
    inner: tuple[tuple[float, float, "_Box"], ...]


def diagram(block: Block) -> str:
    """The SVG document of a block and all in it."""
    box = _box(block)
    shapes = "\n".join(_drawn(box, _GAP, _GAP))
    width, height = box.width + 2 * _GAP, box.height + 2 * _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="monospace" font-size="{_FONT}">\n'
        f"<title>{_text(block.title)}</title>\n"
        f'<rect width="100%" height="100%" fill="white"/>\n{shapes}\n</svg>\n'
    )


def _box(block: Block) -> _Box:
    lines = tuple(_cut(line) for line in block.figures)
    boxes = [_box(own) for own in block.inner]
    header = _LINE * (1 + len(lines)) + _PAD
    text = max(len(_cut(block.title)), *(len(line) for line in lines), 0) * _CHARACTER
    placed, width, bottom = _placed(boxes, header)
    return _Box(block, lines, max(text, width) + 2 * _PAD, bottom + _PAD, placed)


def _placed(boxes: Sequence[_Box], top: float) -> tuple[tuple[tuple[float, float, _Box], ...], float, float]:
    """Boxes in rows about as wide as all of them are high, their width, and the bottom of the last row."""
    if not boxes:
        return (), 0.0, top
    widest = max(box.width for box in boxes)
    limit = max(widest, (1.6 * sum(box.width * box.height for box in boxes)) ** 0.5)
    placed: list[tuple[float, float, _Box]] = []
    x, y, row, right = 0.0, top + _GAP / 2, 0.0, 0.0
    for box in boxes:
        if x and x + box.width > limit:
            x, y, row = 0.0, y + row + _GAP, 0.0
        placed.append((x + _PAD, y, box))
        x, row = x + box.width + _GAP, max(row, box.height)
        right = max(right, x - _GAP)
    return tuple(placed), right, y + row


def _drawn(box: _Box, x: float, y: float) -> list[str]:
    color = _COLORS.get(box.block.kind, "#ffffff")
    # Of many alike, a second edge behind.
    shadow = _rectangle(box, x + 4, y + 4, color) if box.block.count > 1 else []
    shapes = [*shadow, *_rectangle(box, x, y, color)]
    for index, line in enumerate((_cut(box.block.title), *box.lines)):
        weight = ' font-weight="bold"' if index == 0 else ' fill="#333"'
        shapes.append(
            f'<text x="{x + _PAD:.1f}" y="{y + _PAD / 2 + _LINE * (index + 0.8):.1f}"{weight}>{_text(line)}</text>'
        )
    for inner_x, inner_y, inner in box.inner:
        shapes += _drawn(inner, x + inner_x, y + inner_y)
    return shapes


def _rectangle(box: _Box, x: float, y: float, color: str) -> list[str]:
    return [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4" fill="{color}" '
        f'stroke="#555"/>'
    ]


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _text(line: str) -> str:
    """`line` as text of XML: escaped, without the control characters that XML has no place for."""
    return escape("".join(character if character.isprintable() else "�" for character in line))
