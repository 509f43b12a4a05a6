"""An example of driving the chip from cocotb: a host that writes its registers, and the off-chip memory.

``images/host.hex`` holds the register writes before the start, ``images/memory.bin`` what the memory holds, and
``run.json`` the port's size and the tokens that the chip must generate.
"""

import json
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

FOLDER = Path(__file__).parents[1]

CONTROL, STATUS, GENERATED, TOKENS = 0x00, 0x04, 0x10, 0x8000
"""Registers of the host port; the README lists them all."""

DONE, MEMORY_ERROR = 1, 2
"""Bits of the status register."""


class Host:
    """The register port: a write takes one cycle, what is read stands in the next."""

    def __init__(self, chip: Any):
        self.chip = chip
        chip.host_write_i.value = 0
        chip.host_address_i.value = 0
        chip.host_data_i.value = 0

    async def write(self, address: int, data: int) -> None:
        """Write a register."""
        self.chip.host_write_i.value = 1
        self.chip.host_address_i.value = address
        self.chip.host_data_i.value = data
        await FallingEdge(self.chip.clk_i)
        self.chip.host_write_i.value = 0

    async def read(self, address: int) -> int:
        """Read a register."""
        self.chip.host_address_i.value = address
        await FallingEdge(self.chip.clk_i)
        return int(self.chip.host_data_o.value)


class Memory:
    """The AXI4 channels, which go in lockstep: every request is taken at once, a beat a cycle each way.

    Inputs of the chip change on the falling edge, its outputs are read on the rising one.
    """

    def __init__(self, chip: Any, image: bytes, port_bytes: int, channels: int):
        self.chip = chip
        # The image holds each beat from its most significant byte.
        self.beats = [
            int.from_bytes(image[start : start + port_bytes], "big") for start in range(0, len(image), port_bytes)
        ]
        self.channel_bytes = port_bytes // channels
        self.all = (1 << channels) - 1
        self.address_mask = (1 << len(chip.axi_araddr_o) // channels) - 1
        for ready in (chip.axi_arready_i, chip.axi_awready_i, chip.axi_wready_i):
            ready.value = self.all
        for signal in ("rvalid", "rdata", "rlast", "rresp", "bvalid", "bresp"):
            getattr(chip, f"axi_{signal}_i").value = 0

    def stands(self, signal: str) -> bool:
        """Whether all channels give a signal."""
        return int(getattr(self.chip, f"axi_{signal}_o").value) == self.all

    def burst(self, request: str) -> "deque[int]":
        """The beats that a request names; channel 0 is lowest, and all ask for the same."""
        address, length = (int(getattr(self.chip, f"axi_{request}{what}_o").value) for what in ("addr", "len"))
        first = (address & self.address_mask) // self.channel_bytes
        return deque(range(first, first + (length & 0xFF) + 1))

    async def read(self) -> None:
        """Answer reads for as long as the simulation runs."""
        chip = self.chip
        bursts: deque[deque[int]] = deque()
        while True:
            await RisingEdge(chip.clk_i)
            if bursts and int(chip.axi_rvalid_i.value) and self.stands("rready"):
                bursts[0].popleft()
                if not bursts[0]:
                    bursts.popleft()
            if self.stands("arvalid"):
                bursts.append(self.burst("ar"))
            await FallingEdge(chip.clk_i)
            chip.axi_rvalid_i.value = self.all if bursts else 0
            if bursts:
                chip.axi_rdata_i.value = self.beats[bursts[0][0]]
                chip.axi_rlast_i.value = self.all if len(bursts[0]) == 1 else 0

    async def write(self) -> None:
        """Take writes for as long as the simulation runs."""
        chip = self.chip
        beats: deque[int] = deque()
        answers = 0
        while True:
            await RisingEdge(chip.clk_i)
            if int(chip.axi_bvalid_i.value) and self.stands("bready"):
                answers -= 1
            if self.stands("awvalid"):
                beats += self.burst("aw")
            if self.stands("wvalid"):
                strobes = int(chip.axi_wstrb_o.value)
                mask = sum(0xFF << 8 * byte for byte in range(strobes.bit_length()) if strobes >> byte & 1)
                beat = beats.popleft()
                self.beats[beat] = self.beats[beat] & ~mask | int(chip.axi_wdata_o.value) & mask
                answers += self.stands("wlast")
            await FallingEdge(chip.clk_i)
            chip.axi_bvalid_i.value = self.all if answers else 0


@cocotb.test()
async def generates_its_tokens(chip: Any) -> None:
    """The chip continues the prompt by the tokens that it must generate."""
    run = json.loads((FOLDER / "cocotb" / "run.json").read_text())
    host = Host(chip)
    memory = Memory(chip, (FOLDER / "images" / "memory.bin").read_bytes(), run["port_bytes"], run["channels"])
    chip.rst_ni.value = 0
    Clock(chip.clk_i, 10, unit="ns").start()
    await FallingEdge(chip.clk_i)
    await FallingEdge(chip.clk_i)
    chip.rst_ni.value = 1
    cocotb.start_soon(memory.read())
    cocotb.start_soon(memory.write())
    for line in (FOLDER / "images" / "host.hex").read_text().splitlines():
        address, data = line.split()
        await host.write(int(address, 16), int(data, 16))
    await host.write(CONTROL, 1)
    while not await host.read(STATUS) & DONE:
        pass
    assert not await host.read(STATUS) & MEMORY_ERROR
    assert await host.read(GENERATED) == len(run["tokens"])
    first = run["prompt_length"]
    tokens = [await host.read(TOKENS + 4 * (first + index)) for index in range(len(run["tokens"]))]
    assert tokens == run["tokens"], f"generated {tokens}, not {run['tokens']}"
