"""Area: the published die, or an estimate from what the chip is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from codesign_cost.machine import Machine, kept
from codesign_cost.technology import Figure, at_node, constant
from codesign_dialects.chip import Attention, Quantizer, Sram, Vector

SQUARE_MICROMETRE = 1e-12


@dataclass(frozen=True)
class Area:
    """Square metres of one chip; `parts` of an estimate, empty for a published die."""

    total: Figure
    parts: Mapping[str, Figure] = field(default_factory=dict[str, Figure])


@kept
def chip_area(machine: Machine) -> Area:
    """The die of one chip.

    An estimate counts multiply-accumulates, vector and quantizer lanes (a float32 multiplier and adder each) and SRAM,
    scales them to the process node and adds what layout takes. Input and output, analog and scheduler are not in it.
    """
    design = machine.design
    if design.area is not None:
        return Area(design.area)
    logic = at_node("area_factor", design.process) * SQUARE_MICROMETRE * constant("layout_overhead")
    integer = constant("multiply_accumulate_8_area")
    floating = constant("float_multiply_32_area") + constant("float_add_32_area")
    matmul = machine.matmul
    cells = floating if any("float" in name or name.startswith("fp") for name in matmul.formats) else integer
    attention = sum(count * unit.queries * unit.keys for count, unit in machine.parts(Attention))
    lanes = sum(count * unit.lanes for count, unit in machine.parts(Vector))
    quantizers = sum(count * unit.lanes for count, unit in machine.parts(Quantizer))
    mebibytes = sum(count * sram.capacity for count, sram in machine.parts(Sram)) / 2**20
    sram = mebibytes * at_node("sram_area_per_MiB", design.process) * 1e-6 * constant("layout_overhead")
    parts = {
        "matmul": matmul.count * matmul.lanes * matmul.width * cells * logic,
        "attention": attention * integer * logic,
        "vector": lanes * floating * logic,
        "quantizer": quantizers * floating * logic,
        "sram": sram,
    }
    return Area(sum(parts.values()), parts)
