"""The reference is what the code says."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_generated_from_the_code():
    generated = runpy.run_path(str(DOCS / "reference.py"))["reference"]()
    assert (DOCS / "reference.md").read_text() == generated, "run `python docs/reference.py`"


def test_every_operation_and_pass_is_described():
    text = (DOCS / "reference.md").read_text()
    for section in text.split("\n### ")[1:]:
        heading, _, rest = section.partition("\n")
        assert rest.strip().splitlines()[0].strip("| "), f"{heading} has no description"
