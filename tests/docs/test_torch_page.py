"""docs/torch.md says of a file what the frontend says of it."""

from pathlib import Path

from codesign import api
from codesign.program import LIFTED, NOT_LIFTED
from tests.frontends.lift.graphs import Style, decoder

PAGE = (Path(__file__).parents[2] / "docs" / "torch.md").read_text()


def test_the_attributes_are_named():
    assert f"{LIFTED} = " in PAGE and NOT_LIFTED in PAGE


def test_the_context_without_a_limit_is_the_stated_one():
    from codesign.frontends.lift import lifted

    assert f"with none it is {lifted(decoder(Style())).context:,}" in PAGE.replace("\n", " ")


def test_the_page_names_the_frontend_s_suffix():
    from codesign.frontends.torch_export import TorchExport

    assert TorchExport().accepts(Path("model.pt2")) and "model.pt2" in PAGE
    assert TorchExport() in api.plugins().frontends()
