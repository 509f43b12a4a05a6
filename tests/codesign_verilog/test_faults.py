"""Injected faults: each must be caught by what crosses the ports of a whole chip, or by its cycles."""

import shutil
from pathlib import Path

import pytest

from codesign import api
from codesign_verilog.simulators.tool import ToolError
from tests.codesign_verilog.chips import NARROW
from tests.codesign_verilog.test_generation import PROMPT, QUANTIZE, small_model

# File, a text that is there once, its replacement.
FAULTS = {
    "a latency off by one": (
        "rtl/dequantizer.sv",
        "float_pkg::IntToFloatLatency - 1)",
        "float_pkg::IntToFloatLatency)",
    ),
    "banks swapped": (
        "rtl/sram_banked.sv",
        "(write_address_i[BankBits-1:0] == BankBits'(bank))",
        "(write_address_i[BankBits-1:0] == BankBits'(bank ^ 1))",
    ),
    "rounding to even forgotten": ("rtl/float_round.sv", "guard_i & (sticky_i | significand_i[0])", "guard_i"),
    "a stall of the matmul unit dropped": (
        "rtl/matmul_sequencer.sv",
        "(~last_of_block | (backlog_q <= MaxBacklog))",
        "1'b1",
    ),
    "credits ignored": ("rtl/sequencer.sv", "((offered_q ? waits_q : waits) & ~credit_i) == '0;", "1'b1;"),
    "a beat late": ("tb/testbench_pkg.sv", "Latency         = 20", "Latency         = 21"),
}


@pytest.fixture(scope="module")
def emitted(make_llama, tmp_path_factory) -> Path:
    # Two slices a row tile, whose results take four cycles to leave: the matmul unit has to wait for them.
    program = api.compile(small_model(make_llama, NARROW, hidden=16), NARROW.chip(), QUANTIZE)
    return api.emit(program, tmp_path_factory.mktemp("faults") / "chip", prompt=PROMPT[:2], max_tokens=1)


def simulate(folder: Path) -> api.Comparison | None:
    """The comparison, or None for a chip that hangs."""
    try:
        return api.simulate(folder, simulator="iverilog", time_limit=120)
    except ToolError:
        return None


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(emitted, tmp_path, name) -> None:
    file, text, replacement = FAULTS[name]
    folder = tmp_path / "chip"
    shutil.copytree(emitted, folder)
    code = (folder / file).read_text()
    assert code.count(text) == 1, f"{file} no longer holds {text!r} once: state the fault anew"
    (folder / file).write_text(code.replace(text, replacement))
    result = simulate(folder)
    assert result is None or not result.exact


def test_a_flipped_weight_bit_is_caught_and_named(emitted, tmp_path, monkeypatch) -> None:
    """The simulator's memory has another bit in the first weight than the microcode executor's."""
    from codesign_verilog import emitter

    straight = simulate(emitted)
    assert straight is not None and straight.exact

    def flip(folder: Path, outcome, memory: Path) -> Path:
        images = write_run(folder, outcome, memory)
        image = bytearray(memory.read_bytes())
        image[NARROW.port - 1] ^= 0x40  # the lowest byte of the first beat stands last
        (images / "memory.bin").unlink()
        (images / "memory.bin").write_bytes(image)
        return images

    write_run = emitter._write_run
    monkeypatch.setattr(emitter, "_write_run", flip)
    result = simulate(emitted)
    assert result is not None and not result.exact
    assert result.simulation.mismatches > 0
    first = result.simulation.first_mismatch
    assert first is not None and "matmul port result, write 0," in first
    assert "source=0" in first and "weight=0" in first, "the command that used the weight"
