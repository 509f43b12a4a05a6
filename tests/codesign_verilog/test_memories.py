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
    "a key all along its lane": (
        "kv_sram.sv",
        "((ByteBits+1)'(first_byte) >> PartBits) == (ByteBits+1)'(i / PartBytes)",
        "1'b1",
    ),
    "values like keys": ("kv_sram.sv", "across ? {Width{", "1'b0 ? {Width{"),
    "every byte of a word": ("sram_byte_write.sv", "if (write_bytes_i[i])", "if (write_bytes_i != '0)"),
    "a beat in every lane": ("kv_sram.sv", "(beat_write_i & in_beat)", "beat_write_i"),
    "a beat of another row": ("kv_sram.sv", "RowBits'(beat_write_address_i >> $clog2(WordBeats))", "'0"),
    "the first beat of a word": ("kv_sram.sv", "row[beat_q*", "row[0*"),
    "a scale all along its row": ("scale_sram.sv", "FloatAddressBits'(i / (FloatWidth / 8))", "FloatAddressBits'(i)"),
    "the first beat of a row of scales": ("scale_sram.sv", "row[beat_q*", "row[0*"),
    "the first word of a row of scales": ("scale_sram.sv", "row[word_q*", "row[0*"),
}


def matches(
    simulator: str,
    write_bytes: int,
    read_bytes: int,
    lanes: int,
    width: int,
    part: int,
    beat: int,
    word: int,
    rtl: list[Path],
    folder: Path,
) -> bool:
    """Write every byte once, then as many parts and beats again at random; compare all words and beats.

    ``beat`` are the bytes of a beat of the KV cache and of a memory of scales as large, ``word`` those of a word of
    scales.
    """
    constants = {
        "WriteWidth": 8 * write_bytes,
        "ReadWidth": 8 * read_bytes,
        "WriteAddressBits": ADDRESS_BITS,
        "KvBits": KV_BITS,
        "Lanes": lanes,
        "Width": width,
        "PartBytes": part,
        "BeatBytes": beat,
        "WordBytes": word,
    }
    (folder / "bench_pkg.sv").write_text(package("bench_pkg", constants, "The memories under test."))
    sources = [folder / "bench_pkg.sv", *rtl, FIXTURES / "memories_bench.sv"]
    simulation = find_simulator(simulator).build(sources, "memories_bench", folder)

    generator = np.random.default_rng(0)
    kv = np.zeros((1 << KV_BITS, lanes, width), np.uint8)
    scales = np.zeros(kv.size, np.uint8)
    parts = kv.size // 4
    count = 2 * max(parts, 1 << ADDRESS_BITS)
    words = np.zeros((1 << ADDRESS_BITS, write_bytes), np.uint8)
    lines: list[int] = []
    kv_lines: list[int] = []
    beat_lines: list[int] = []
    scale_lines: list[int] = []
    for number in range(count):
        address = number if number < len(words) else int(generator.integers(0, len(words)))
        words[address] = generator.integers(0, 256, write_bytes)
        lines.append(address << 8 * write_bytes | int.from_bytes(words[address].tobytes(), "little"))
        beat_data = generator.integers(0, 256, beat).astype(np.uint8)
        at = int(generator.integers(0, kv.size // beat))
        beat_lines.append(at << 8 * beat | int.from_bytes(beat_data.tobytes(), "little"))
        # Beats are rare where one holds much.
        kv_by_beat, scale_by_beat = (int(number >= parts and generator.random() < 4 / (4 + beat)) for _ in range(2))
        scale_data = generator.integers(0, 256, 4).astype(np.uint8)
        scale = number if number < kv.size // 4 else int(generator.integers(0, kv.size // 4))
        if scale_by_beat:
            scales[at * beat : (at + 1) * beat] = beat_data
        else:
            scales[4 * scale : 4 * scale + 4] = scale_data
        line = scale_by_beat << (kv.size // 4 - 1).bit_length() | scale
        scale_lines.append(line << 32 | int.from_bytes(scale_data.tobytes(), "little"))
        data = generator.integers(0, 256, part).astype(np.uint8)
        across = number >= kv.size // part and bool(generator.integers(0, 2))
        place = number if number < kv.size // part else int(generator.integers(0, kv.size // part))
        if kv_by_beat:
            kv.reshape(-1)[at * beat : (at + 1) * beat] = beat_data
            first = 0
        elif across:
            row, rest = divmod(place, lanes * width // part)
            first_lane, byte = rest // width * part, rest % width
            kv[row, first_lane : first_lane + part, byte] = data
            first = (row * lanes + first_lane) * width + byte
        else:
            first = place * part
            kv.reshape(-1)[first : first + part] = data
        address_bits = (kv.size - 1).bit_length()
        line = (kv_by_beat << address_bits + 1 | across << address_bits | first) << 8 * part
        kv_lines.append(line | int.from_bytes(data.tobytes(), "little"))
    (folder / "writes.hex").write_text("\n".join(f"{line:x}" for line in lines))
    (folder / "kv_writes.hex").write_text("\n".join(f"{line:x}" for line in kv_lines))
    (folder / "beat_writes.hex").write_text("\n".join(f"{line:x}" for line in beat_lines))
    (folder / "scale_writes.hex").write_text("\n".join(f"{line:x}" for line in scale_lines))
    simulation.run(folder, 60, {"count": count})

    read = hexadecimal(words.reshape(-1, read_bytes))
    expected = {
        "a": read,
        "b": read[::-1],
        "kv": hexadecimal(kv.reshape(len(kv), -1)),
        "kv_beat": hexadecimal(kv.reshape(-1, beat)),
        "scale": hexadecimal(scales.reshape(-1, word)),
        "scale_beat": hexadecimal(scales.reshape(-1, beat)),
    }
    return all((folder / f"{name}.log").read_text().split() == lines for name, lines in expected.items())


@pytest.mark.parametrize(
    ("simulator", "write_bytes", "read_bytes", "lanes", "width", "part", "beat", "word"),
    [
        ("verilator", 16, 4, 8, 8, 4, 16, 32),
        ("iverilog", 4, 16, 16, 8, 4, 4, 16),
        ("iverilog", 8, 8, 4, 4, 4, 64, 16),
        ("iverilog", 8, 8, 8, 4, 4, 32, 32),
    ],
)
def test_reads_what_was_written(
    simulator: str,
    write_bytes: int,
    read_bytes: int,
    lanes: int,
    width: int,
    part: int,
    beat: int,
    word: int,
    rtl: list[Path],
    tmp_path: Path,
) -> None:
    assert matches(simulator, write_bytes, read_bytes, lanes, width, part, beat, word, rtl, tmp_path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_caught(fault: tuple[str, str, str], rtl: list[Path], tmp_path: Path) -> None:
    """Once with beats below a word, once with words below a beat: one of the two tells."""
    faulty = faulty_copy(rtl, fault, tmp_path)
    assert not all(
        matches("iverilog", 4, 16, 16, 8, 4, beat, word, faulty, tmp_path) for beat, word in ((16, 32), (32, 8))
    )
