"""The memories that are written in other shapes than they are read: what is read is what was written last."""

from pathlib import Path

import numpy as np
import pytest

from codesign_verilog.folder import package
from codesign_verilog.simulators import find_simulator
from tests.codesign_verilog.faults import faulty_copy
from tests.codesign_verilog.machines import FIXTURES
from tests.codesign_verilog.unit_bench import hexadecimal

ADDRESS_BITS, KV_BITS = 5, 3

FAULTS = {
    "banks swapped": ("sram_banked.sv", "(write_address_i[BankBits-1:0] == BankBits'(bank))", "1'b1"),
    "a key in every lane": ("kv_sram.sv", ": first_lane == LaneBits'(lane);", ": 1'b1;"),
    "a value in every lane": ("kv_sram.sv", "(first_lane >> PartBits) == LaneBits'(lane / PartBytes)", "1'b1"),
    "a key all along its lane": ("kv_sram.sv", "(first_byte >> PartBits) == ByteBits'(i / PartBytes)", "1'b1"),
    "values like keys": ("kv_sram.sv", "across ? {Width{", "1'b0 ? {Width{"),
    "every byte of a word": ("sram_byte_write.sv", "if (write_bytes_i[i])", "if (write_bytes_i != '0)"),
}


def matches(
    simulator: str, write_bytes: int, read_bytes: int, lanes: int, width: int, part: int, rtl: list[Path], folder: Path
) -> bool:
    """Write every byte once, then as many parts again at random; compare all words."""
    constants = {
        "WriteWidth": 8 * write_bytes,
        "ReadWidth": 8 * read_bytes,
        "WriteAddressBits": ADDRESS_BITS,
        "KvBits": KV_BITS,
        "Lanes": lanes,
        "Width": width,
        "PartBytes": part,
    }
    (folder / "bench_pkg.sv").write_text(package("bench_pkg", constants, "The memories under test."))
    sources = [folder / "bench_pkg.sv", *rtl, FIXTURES / "memories_bench.sv"]
    simulation = find_simulator(simulator).build(sources, "memories_bench", folder)

    generator = np.random.default_rng(0)
    kv = np.zeros((1 << KV_BITS, lanes, width), np.uint8)
    parts = kv.size // part
    count = 2 * max(parts, 1 << ADDRESS_BITS)
    words = np.zeros((1 << ADDRESS_BITS, write_bytes), np.uint8)
    lines: list[int] = []
    kv_lines: list[int] = []
    for number in range(count):
        address = number if number < len(words) else int(generator.integers(0, len(words)))
        words[address] = generator.integers(0, 256, write_bytes)
        lines.append(address << 8 * write_bytes | int.from_bytes(words[address].tobytes(), "little"))
        data = generator.integers(0, 256, part).astype(np.uint8)
        across = number >= parts and bool(generator.integers(0, 2))
        place = number if number < parts else int(generator.integers(0, parts))
        if across:
            word, rest = divmod(place, lanes * width // part)
            first_lane, byte = rest // width * part, rest % width
            kv[word, first_lane : first_lane + part, byte] = data
            first = (word * lanes + first_lane) * width + byte
        else:
            first = place * part
            kv.reshape(-1)[first : first + part] = data
        line = (across << (kv.size - 1).bit_length() | first) << 8 * part
        kv_lines.append(line | int.from_bytes(data.tobytes(), "little"))
    (folder / "writes.hex").write_text("\n".join(f"{line:x}" for line in lines))
    (folder / "kv_writes.hex").write_text("\n".join(f"{line:x}" for line in kv_lines))
    simulation.run(folder, 60, {"count": count})

    read = hexadecimal(words.reshape(-1, read_bytes))
    expected = {"a": read, "b": read[::-1], "kv": hexadecimal(kv.reshape(len(kv), -1))}
    return all((folder / f"{name}.log").read_text().split() == lines for name, lines in expected.items())


@pytest.mark.parametrize(
    ("simulator", "write_bytes", "read_bytes", "lanes", "width", "part"),
    [("verilator", 16, 4, 8, 8, 4), ("iverilog", 4, 16, 16, 8, 4), ("iverilog", 8, 8, 4, 4, 4)],
)
def test_reads_what_was_written(
    simulator: str,
    write_bytes: int,
    read_bytes: int,
    lanes: int,
    width: int,
    part: int,
    rtl: list[Path],
    tmp_path: Path,
) -> None:
    assert matches(simulator, write_bytes, read_bytes, lanes, width, part, rtl, tmp_path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    assert not matches("iverilog", 4, 16, 16, 8, 4, faulty_copy(rtl, fault, tmp_path), tmp_path)
