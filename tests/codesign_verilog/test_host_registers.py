"""The register map is that of rtl/host.sv, of the testbench, and of the page about the chip."""

import re
from pathlib import Path

from codesign_verilog.folder import LIBRARY
from codesign_verilog.host_registers import COUNTERS, REGISTERS, TOKENS, register_map

ADDRESS = re.compile(r"localparam logic \[15:0\] (\w+)\s*= 16'h([0-9A-F]+);")


def test_addresses_are_those_of_the_rtl_and_the_testbench() -> None:
    stated = {name.title().replace("_", ""): place for name, (place, _) in REGISTERS.items()} | {"Counters": COUNTERS}
    code = (LIBRARY / "rtl" / "host.sv").read_text()
    assert {name: int(place, 16) for name, place in ADDRESS.findall(code)} == stated
    assert "host_address_i[15]" in code and TOKENS == 1 << 15
    used = {name: int(place, 16) for name, place in ADDRESS.findall((LIBRARY / "testbench" / "tb.sv").read_text())}
    assert used and used.items() <= stated.items()


def test_the_page_lists_the_same_addresses() -> None:
    page = (Path(__file__).parents[2] / "docs" / "chip.md").read_text()
    for row in register_map().splitlines():
        address, name = row.split("|")[1:3]
        assert f"|{address}|{name}|" in page
