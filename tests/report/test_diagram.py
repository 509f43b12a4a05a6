"""Block diagrams: well-formed whatever the names, every part once, nothing outside its box, nothing fetched."""

import re
from xml.etree import ElementTree

import pytest

from codesign.chips import LIBRARY, Chip, parse_chip, read_chip
from codesign.report.blocks import Block, blocks_of
from codesign.report.diagram import diagram

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=["h100", "edge", "gb200-nvl72", "corsair", "rain"])
def chip(request: pytest.FixtureRequest) -> Chip:
    return read_chip(LIBRARY[request.param])


def names(block: Block) -> list[str]:
    return [block.name, *(name for own in block.inner for name in names(own))]


def test_every_part_is_a_block_once(chip: Chip) -> None:
    assert sorted(names(blocks_of(chip))) == sorted(chip.parts())


def test_the_picture_shows_every_block_within_its_own(chip: Chip) -> None:
    block = blocks_of(chip)
    root = ElementTree.fromstring(diagram(block))
    width, height = (float(root.attrib[key]) for key in ("width", "height"))
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    for name in names(block):
        assert any(f"@{name} " in text for text in texts)
    for box in list(root.iter(f"{SVG}rect"))[1:]:
        x, y, w, h = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_boxes_beside_each_other_do_not_overlap() -> None:
    # No part of the edge chip stands twice, so that each box is drawn once: two either nest or are apart.
    root = ElementTree.fromstring(diagram(blocks_of(read_chip(LIBRARY["edge"]))))
    boxes = [
        tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        for box in list(root.iter(f"{SVG}rect"))[1:]
    ]
    for index, (x, y, w, h) in enumerate(boxes):
        for a, b, c, d in boxes[:index]:
            apart = x >= a + c or a >= x + w or y >= b + d or b >= y + h
            nested = a <= x and b <= y and x + w <= a + c and y + h <= b + d
            assert apart or nested


def test_strange_names_are_text() -> None:
    name = "x<script>&'\\22"
    text = f'chip.design @"{name}" attributes {{process = "7 nm", clock = "1 GHz", family = "</text><b>"}} {{}}'
    picture = diagram(blocks_of(parse_chip(text)))
    ElementTree.fromstring(picture)
    assert "<script>" not in picture
    assert "<b>" not in picture
    assert not re.search(r"href|url\(|<image|<style", picture)


def test_the_tree_nests_as_the_blocks_do(chip: Chip) -> None:
    block = blocks_of(chip)
    lines = block.tree().splitlines()
    assert len(lines) == len(names(block))
    depth = {name: line.index(f"@{name}") for name in names(block) for line in lines if f"@{name} " in line}
    for own in block.inner:
        assert depth[own.name] > depth[block.name]
