"""The chip's top as structural ``hw`` IR: scheduler, DMA, matmul unit and their memories."""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from codesign.units.machine import SRAMS, Machine
from codesign_verilog.netlist import Netlist
from codesign_verilog.shape import OPCODE_BITS, ChipShape

SRAM_PREFIX = {
    "activations": "activation",
    "activation_scales": "activation_scale",
    "weights": "weight",
    "weight_scales": "weight_scale",
    "results": "result",
}
"""What the matmul unit calls its port to each SRAM; also the name of the command field that addresses it."""


def build_chip(shape: ChipShape) -> ModuleOp:
    """The module ``chip`` and the declarations of the library modules that it instantiates."""
    top = _Top(shape)
    top.microcode()
    top.scheduler()
    top.dma()
    top.matmul()
    for role in SRAMS:
        top.sram(role)
    return top.net.module()


class _Top:
    def __init__(self, shape: ChipShape):
        self.shape = shape
        self.machine: Machine = shape.machine
        self.net = Netlist("chip")
        self.clock = self.net.input("clk_i")
        self.reset = self.net.input("rst_ni")
        self.dma_bits, self.matmul_bits = shape.field_bits("dma"), shape.field_bits("matmul")

    @property
    def _clocked(self) -> dict[str, SSAValue]:
        return {"clk_i": self.clock, "rst_ni": self.reset}

    def microcode(self) -> None:
        """The microcode memory, written from outside before the start."""
        net, address, bits = self.net, self.shape.microcode_address_bits, self.shape.instruction_bits
        net.instance(
            "sram",
            "u_microcode",
            {"Depth": self.machine.microcode, "Width": bits},
            {
                "clk_i": self.clock,
                "write_i": net.input("microcode_write_i"),
                "write_address_i": net.input("microcode_address_i", address),
                "write_data_i": net.input("microcode_data_i", bits),
                "read_i": net.net("microcode_read"),
                "read_address_i": net.net("microcode_address", address),
            },
            {"read_data_o": ("microcode_data", bits)},
        )

    def scheduler(self) -> None:
        """The scheduler, and the units' handshakes gathered for it."""
        net, units = self.net, self.shape.units
        gathered = {
            what: net.concatenate([net.net(f"{unit.name}_{what}") for unit in reversed(units)])
            for what in ("ready", "idle")
        }
        net.instance(
            "scheduler",
            "u_scheduler",
            {
                "Units": len(units),
                "OpcodeBits": OPCODE_BITS,
                "PayloadBits": self.shape.payload_bits,
                "MicrocodeDepth": self.machine.microcode,
            },
            {
                **self._clocked,
                "start_i": net.input("start_i"),
                "microcode_data_i": net.nets["microcode_data"],
                "command_ready_i": gathered["ready"],
                "idle_i": gathered["idle"],
            },
            {
                "done_o": ("done", 1),
                "microcode_read_o": ("microcode_read", 1),
                "microcode_address_o": ("microcode_address", self.shape.microcode_address_bits),
                "command_valid_o": ("command_valid", len(units)),
                "command_o": ("command", self.shape.payload_bits),
            },
        )
        net.output("done_o", "done")

    def _command(self, unit: str) -> dict[str, SSAValue]:
        index = self.shape.index(unit)
        return {
            "command_valid_i": self.net.slice(self.net.nets["command_valid"], index, 1),
            "command_i": self.net.slice(self.net.nets["command"], 0, self.shape.command_bits(unit)),
        }

    def dma(self) -> None:
        """The DMA, whose off-chip side is the chip's memory port."""
        net, bits, port = self.net, self.dma_bits, 8 * self.machine.port
        results = SRAMS.index("results")
        # Results alone are read by the DMA.
        read_data = net.concatenate([net.net("results_beat", port), net.constant(0, results * port)])
        requests = {"request_valid": 1, "request_address": bits["memory_address"], "request_beats": bits["beats"]}
        offers = {**requests, "request_write": 1, "read_ready": 1, "write_valid": 1, "write_data": port}
        net.instance(
            "dma",
            "u_dma",
            {
                "PortBytes": self.machine.port,
                "Srams": len(SRAMS),
                "MemoryAddressBits": bits["memory_address"],
                "SramAddressBits": bits["sram_address"],
                "BeatsBits": bits["beats"],
            },
            {
                **self._clocked,
                **self._command("dma"),
                "request_ready_i": net.input("memory_request_ready_i"),
                "read_valid_i": net.input("memory_read_valid_i"),
                "read_data_i": net.input("memory_read_data_i", port),
                "write_ready_i": net.input("memory_write_ready_i"),
                "sram_read_data_i": read_data,
            },
            {
                "command_ready_o": ("dma_ready", 1),
                "idle_o": ("dma_idle", 1),
                **{f"{name}_o": (f"memory_{name}", width) for name, width in offers.items()},
                "sram_write_o": ("sram_write", len(SRAMS)),
                "sram_read_o": ("sram_read", len(SRAMS)),
                "sram_address_o": ("sram_address", bits["sram_address"]),
                "sram_write_data_o": ("sram_write_data", port),
            },
        )
        for name in offers:
            net.output(f"memory_{name}_o", f"memory_{name}")
        net.unused("sram_write", net.slice(net.nets["sram_write"], results, 1))
        net.unused("sram_read", net.slice(net.nets["sram_read"], 0, results))

    def _words(self) -> dict[str, int]:
        """Bits of the word that the matmul unit reads from, or writes to, each SRAM."""
        return {role: 8 * sram.word for role, sram in self.machine.srams.items()}

    def matmul(self) -> None:
        """The matmul unit."""
        net, machine, bits, words = self.net, self.machine, self.matmul_bits, self._words()
        reads = {SRAM_PREFIX[role]: words[role] for role in SRAMS if role != "results"}
        net.instance(
            "matmul",
            "u_matmul",
            {
                "Lanes": machine.lanes,
                "Width": machine.width,
                "Tokens": machine.tokens,
                "ResultsPerCycle": machine.results,
                "LevelsPerStage": machine.levels,
                "ActivationBits": bits["activation"],
                "ActivationScaleBits": bits["activation_scale"],
                "WeightBits": bits["weight"],
                "WeightScaleBits": bits["weight_scale"],
                "ResultBits": bits["result"],
                "SlicesBits": bits["k_slices"],
                "RowTilesBits": bits["row_tiles"],
            },
            {
                **self._clocked,
                **self._command("matmul"),
                **{f"{name}_data_i": net.net(f"{name}_data", width) for name, width in reads.items()},
            },
            {
                "command_ready_o": ("matmul_ready", 1),
                "idle_o": ("matmul_idle", 1),
                **{f"{name}_read_o": (f"{name}_read", 1) for name in reads},
                **{f"{name}_address_o": (f"{name}_address", bits[name]) for name in reads},
                "result_write_o": ("result_write", 1),
                "result_address_o": ("result_address", bits["result"]),
                "result_data_o": ("result_data", words["results"]),
            },
        )

    def sram(self, role: str) -> None:
        """One SRAM between DMA and matmul unit: the DMA writes operands and reads results."""
        net, sram, prefix, port = self.net, self.machine.srams[role], SRAM_PREFIX[role], 8 * self.machine.port
        word, index = 8 * sram.word, SRAMS.index(role)
        beat_address = net.slice(
            net.nets["sram_address"], 0, max(1, (sram.nbytes // self.machine.port - 1).bit_length())
        )
        if role == "results":
            ends = {
                "write_i": net.nets["result_write"],
                "write_address_i": net.nets["result_address"],
                "write_data_i": net.nets["result_data"],
                "read_i": net.slice(net.nets["sram_read"], index, 1),
                "read_address_i": beat_address,
            }
            output = {"read_data_o": ("results_beat", port)}
        else:
            ends = {
                "write_i": net.slice(net.nets["sram_write"], index, 1),
                "write_address_i": beat_address,
                "write_data_i": net.nets["sram_write_data"],
                "read_i": net.nets[f"{prefix}_read"],
                "read_address_i": net.nets[f"{prefix}_address"],
            }
            output = {"read_data_o": (f"{prefix}_data", word)}
        write, read = (word, port) if role == "results" else (port, word)
        net.instance(
            "sram_banked",
            f"u_{role}",
            {"Bits": 8 * sram.nbytes, "WriteWidth": write, "ReadWidth": read},
            {"clk_i": self.clock, **ends},
            output,
        )
