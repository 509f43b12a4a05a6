"""The chip's top as structural ``hw`` IR: host port, queues, units and memories, as docs/chip.md lists them."""

from collections.abc import Mapping

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from codesign.units.machine import CACHED, LOADED, VECTOR_SPACE
from codesign_verilog.netlist import Netlist
from codesign_verilog.queues import QueueShape
from codesign_verilog.shape import ChipShape

SCALES = ("activation_scales", "key_scales", "value_scales")
"""The memories of the quantizer's scales, in the order that numbers its destinations."""

READ_ANSWERS = {"arready": 1, "rvalid": 1, "rlast": 1, "rresp": 2}
WRITE_ANSWERS = {"awready": 1, "wready": 1, "bvalid": 1, "bresp": 2}
"""What the memory drives, with bits a channel; beside them the data read."""

CONTROL = (
    "host",
    "token_memory",
    "scheduler",
    "microcode_queue",
    "sequencer",
    "register_file",
    "microcode_pkg",
    "fifo",
    "write_select",
    "vector_space",
    "kv_sram",
    "scale_sram",
    "sram",
    "sram_banked",
    "sram_byte_write",
    "sram_two_read",
)
"""Library modules of every chip, beside those of its units."""


def build_chip(shape: ChipShape) -> ModuleOp:
    """The module ``chip`` and the declarations of the library modules that it instantiates."""
    top = _Top(shape)
    top.host()
    top.scheduler()
    for number, queue in enumerate(shape.queues):
        top.queue(number, queue)
    top.load()
    top.store()
    top.matmul()
    top.vector_units()
    top.vector_space()
    top.memories()
    return top.net.module()


class _Top:
    def __init__(self, shape: ChipShape):
        self.shape = shape
        self.machine = shape.machine
        self.net = Netlist("chip")
        self.clock = self.net.input("clk_i")
        self.reset = self.net.input("rst_ni")
        self.address_bits = {role: sram.address_bits for role, sram in self.machine.srams.items()}

    @property
    def _clocked(self) -> dict[str, SSAValue]:
        return {"clk_i": self.clock, "rst_ni": self.reset}

    def _per_queue(self, name: str, bits: int) -> SSAValue:
        """A net of every queue's, side by side, queue 0 lowest."""
        return self.net.concatenate(
            [self.net.net(f"{queue.name}_{name}", bits) for queue in reversed(self.shape.queues)]
        )

    def host(self) -> None:
        """The register port, with the token memory behind it."""
        net, shape = self.net, self.shape
        queues = len(shape.queues)
        bits = "".join(f"{queue.encoding.bits:08x}" for queue in reversed(shape.queues))
        outputs = {"start": 1, "prompt_length": 32, "max_tokens": 32}
        net.instance(
            "host",
            "u_host",
            {
                "Queues": queues,
                "InstructionBits": f"{32 * queues}'h{bits}",
                "LongestBits": shape.longest_instruction,
                "Depth": self.machine.microcode,
                "Tokens": self.machine.context,
            },
            {
                **self._clocked,
                "host_write_i": net.input("host_write_i"),
                "host_address_i": net.input("host_address_i", 16),
                "host_data_i": net.input("host_data_i", 32),
                "done_i": net.net("done"),
                "error_i": net.concatenate([net.net("store_error"), net.net("load_error")]),
                "busy_i": self._per_queue("busy", 32),
                "waiting_i": self._per_queue("waiting", 32),
                "token_write_i": net.net("token_write"),
                "token_address_i": net.net("token_address", shape.token_bits),
                "token_data_i": net.net("token_data", 32),
                "token_read_i": self._per_queue("token_read", 1),
                "token_read_address_i": self._per_queue("token_address", shape.token_bits),
            },
            {
                "host_data_o": ("host_data", 32),
                **{f"{name}_o": (name, width) for name, width in outputs.items()},
                "microcode_write_o": ("microcode_write", queues),
                "microcode_address_o": ("microcode_address", shape.microcode_address_bits),
                "microcode_data_o": ("microcode_data", shape.longest_instruction),
                "token_read_data_o": ("token_read_data", 32 * queues),
                "token_valid_o": ("token_valid", 1),
                "token_o": ("token", 32),
            },
        )
        net.output("host_data_o", "host_data")
        net.output("token_valid_o", "token_valid")
        net.output("token_o", "token")

    def scheduler(self) -> None:
        """The credits between queues."""
        net, queues = self.net, len(self.shape.queues)
        net.instance(
            "scheduler",
            "u_scheduler",
            {"Queues": queues},
            {
                **self._clocked,
                "start_i": net.nets["start"],
                "running_i": self._per_queue("running", 1),
                "take_i": self._per_queue("take", queues),
                "done_signal_i": self._per_queue("done_signal", queues),
                "sync_signal_i": self._per_queue("sync_signal", queues),
            },
            {"done_o": ("done", 1), "credit_o": ("credit", queues * queues)},
        )
        net.output("done_o", "done")

    def queue(self, number: int, queue: QueueShape) -> None:
        """One queue; its commands and the answers of its units."""
        net, shape, name = self.net, self.shape, queue.name
        queues, units = len(shape.queues), queue.encoding.units
        gathered = {
            answer: net.concatenate([net.net(f"{unit.name}_{answer}") for unit in reversed(units)])
            for answer in ("ready", "done")
        }
        net.instance(
            "microcode_queue",
            f"u_{name}_queue",
            {**queue.parameters, "Layout": queue.layout},
            {
                **self._clocked,
                "start_i": net.nets["start"],
                "prompt_length_i": net.nets["prompt_length"],
                "max_tokens_i": net.nets["max_tokens"],
                "microcode_write_i": net.slice(net.nets["microcode_write"], number, 1),
                "microcode_address_i": net.nets["microcode_address"],
                "microcode_data_i": net.slice(net.nets["microcode_data"], 0, queue.encoding.bits),
                "token_data_i": net.slice(net.nets["token_read_data"], 32 * number, 32),
                "credit_i": net.slice(net.nets["credit"], queues * number, queues),
                "command_ready_i": gathered["ready"],
                "done_i": gathered["done"],
            },
            {
                "running_o": (f"{name}_running", 1),
                "token_read_o": (f"{name}_token_read", 1),
                "token_address_o": (f"{name}_token_address", shape.token_bits),
                "take_o": (f"{name}_take", queues),
                "done_signal_o": (f"{name}_done_signal", queues),
                "sync_signal_o": (f"{name}_sync_signal", queues),
                "command_valid_o": (f"{name}_valid", len(units)),
                "command_o": (f"{name}_command", queue.command_bits),
                "busy_o": (f"{name}_busy", 32),
                "waiting_o": (f"{name}_waiting", 32),
            },
        )

    def _commanded(self, unit: str) -> dict[str, SSAValue]:
        """The command inputs of a unit."""
        record = self.shape.units[unit]
        queue = next(queue for queue in self.shape.queues if queue.name == record.queue)
        number, bits = queue.encoding.units.index(record), record.bits(self.machine)
        return {
            **self._clocked,
            "command_valid_i": self.net.slice(self.net.nets[f"{queue.name}_valid"], number, 1),
            "command_i": self.net.slice(self.net.nets[f"{queue.name}_command"], 0, bits),
        }

    def _unit(
        self, name: str, parameters: Mapping[str, int], inputs: Mapping[str, SSAValue], outputs: Mapping[str, int]
    ) -> None:
        """A unit whose outputs drive nets of their names."""
        self.net.instance(
            name,
            f"u_{name}",
            parameters,
            {**self._commanded(name), **inputs},
            {
                "command_ready_o": (f"{name}_ready", 1),
                "done_o": (f"{name}_done", 1),
                **{f"{output}_o": (output, bits) for output, bits in outputs.items()},
            },
        )

    def load(self) -> None:
        """The load unit, whose off-chip side is the read half of the chip's memory port."""
        net, machine, channels = self.net, self.machine, self.machine.channels
        bits, port = self.shape.field_bits("load"), 8 * machine.port
        requests = {"arvalid": 1, "araddr": self.shape.channel_address_bits, "arlen": 8, "arsize": 3, "arburst": 2}
        driven = {name: width * channels for name, width in requests.items()} | {"rready": channels}
        self._mover(
            "load",
            len(LOADED),
            {**self._answers(READ_ANSWERS), "axi_rdata_i": net.input("axi_rdata_i", port)},
            {
                **self._driven(driven),
                "sram_write_o": ("load_write", len(LOADED)),
                "sram_address_o": ("load_address", bits["address"]),
                "sram_data_o": ("load_data", port),
            },
        )
        self._memory_outputs(driven)

    def store(self) -> None:
        """The store unit, whose off-chip side is the write half."""
        net, machine, channels = self.net, self.machine, self.machine.channels
        bits, port = self.shape.field_bits("store"), 8 * machine.port
        requests = {"awvalid": 1, "awaddr": self.shape.channel_address_bits, "awlen": 8, "awsize": 3, "awburst": 2}
        driven = {name: width * channels for name, width in requests.items()}
        driven |= {"wvalid": channels, "wdata": port, "wstrb": machine.port, "wlast": channels, "bready": channels}
        stored = net.concatenate([net.net(f"{role}_beat", port) for role in reversed(CACHED)])
        self._mover(
            "store",
            len(CACHED),
            {**self._answers(WRITE_ANSWERS), "sram_data_i": stored},
            {
                **self._driven(driven),
                "sram_read_o": ("store_read", len(CACHED)),
                "sram_address_o": ("store_address", bits["address"]),
            },
        )
        self._memory_outputs(driven)

    def _mover(
        self, unit: str, srams: int, inputs: Mapping[str, SSAValue], outputs: Mapping[str, tuple[str, int]]
    ) -> None:
        """A unit that copies beats between off-chip memory and SRAMs."""
        bits = self.shape.field_bits(unit)
        self.net.instance(
            unit,
            f"u_{unit}",
            {
                "PortBytes": self.machine.port,
                "Channels": self.machine.channels,
                "MemoryBits": bits["memory"],
                "Srams": srams,
                "AddressBits": bits["address"],
                "BeatsBits": bits["beats"],
            },
            {**self._commanded(unit), **inputs},
            {
                "command_ready_o": (f"{unit}_ready", 1),
                "done_o": (f"{unit}_done", 1),
                "error_o": (f"{unit}_error", 1),
                **outputs,
            },
        )

    def _answers(self, answers: Mapping[str, int]) -> dict[str, SSAValue]:
        """Inputs of the memory port."""
        channels = self.machine.channels
        return {f"axi_{name}_i": self.net.input(f"axi_{name}_i", bits * channels) for name, bits in answers.items()}

    def _driven(self, signals: Mapping[str, int]) -> dict[str, tuple[str, int]]:
        """The nets of what a unit drives at the memory port."""
        return {f"axi_{name}_o": (f"axi_{name}", bits) for name, bits in signals.items()}

    def _memory_outputs(self, signals: Mapping[str, int]) -> None:
        for name in signals:
            self.net.output(f"axi_{name}_o", f"axi_{name}")

    def matmul(self) -> None:
        """The matmul unit."""
        machine, bits = self.machine, self.address_bits
        words = {
            "activation": ("activations", 8 * machine.width),
            "activation_scale": ("activation_scales", 32),
            "weight": ("weights", 8 * machine.lanes * machine.width),
            "kv": ("kv", 8 * machine.lanes * machine.width),
            "weight_scale": ("weight_scales", 32 * machine.results),
            "key_scale": ("key_scales", 32 * machine.results),
        }
        fields = self.shape.field_bits("matmul")
        self._unit(
            "matmul",
            {
                "Lanes": machine.lanes,
                "Width": machine.width,
                "Tokens": machine.tokens,
                "ResultsPerCycle": machine.results,
                "LevelsPerStage": machine.levels,
                "BlockScales": int(machine.block_scales),
                "ActivationBits": bits["activations"],
                "ActivationScaleBits": bits["activation_scales"],
                "WeightBits": bits["weights"],
                "KvBits": bits["kv"],
                "WeightScaleBits": bits["weight_scales"],
                "KeyScaleBits": bits["key_scales"],
                "ResultBits": bits["results"],
                "SlicesBits": fields["k_slices"],
                "RowTilesBits": fields["row_tiles"],
            },
            {f"{name}_data_i": self.net.net(f"{name}_data", width) for name, (_, width) in words.items()},
            {
                **{f"{name}_read": 1 for name in words},
                **{f"{name}_address": bits[role] for name, (role, _) in words.items()},
                "result_write": 1,
                "result_address": bits["results"],
                "result_data": 32 * machine.results,
            },
        )

    def vector_units(self) -> None:
        """Vector unit, quantizer and argmax unit."""
        net, machine, bits = self.net, self.machine, self.address_bits
        space, word = machine.vector_space_bits, 32 * machine.vector
        vector, quantizer, argmax = (self.shape.field_bits(unit) for unit in ("vector", "quantizer", "argmax"))
        lanes = {"Lanes": machine.vector, "SpaceBits": space}
        a, b = net.net("a_data", word), net.net("b_data", word)

        def writes(unit: str) -> dict[str, int]:
            outputs: dict[str, int] = {}
            for port in self.shape.units[unit].ports(machine):
                outputs |= {f"{port.name}_{what}": bits for what, bits in port.signals.items()}
            return outputs

        written = writes("vector")
        self.net.instance(
            "vector",
            "u_vector",
            {
                **lanes,
                "ResultBits": bits["vector"],
                "RowsBits": vector["rows"],
                "LengthBits": vector["length"],
            },
            {**self._commanded("vector"), "a_data_i": a, "b_data_i": b},
            {
                "command_ready_o": ("vector_ready", 1),
                "done_o": ("vector_done", 1),
                "a_read_o": ("vector_a_read", 1),
                "a_address_o": ("vector_a_address", space),
                "b_read_o": ("vector_b_read", 1),
                "b_address_o": ("vector_b_address", space),
                **{f"{output}_o": (f"vector_{output}", width) for output, width in written.items()},
            },
        )
        for unit, prefix, parameters in (
            (
                "quantizer",
                "quantized_",
                {
                    **lanes,
                    "Width": machine.width,
                    "MatmulLanes": machine.lanes,
                    "ActivationBits": bits["activations"],
                    "KvBits": bits["kv"],
                    "ScaleBits": quantizer["scale"],
                    "RowsBits": quantizer["rows"],
                    "LengthBits": quantizer["length"],
                },
            ),
            ("argmax", "", {**lanes, "LengthBits": argmax["length"], "PlaceBits": argmax["place"]}),
        ):
            self.net.instance(
                unit,
                f"u_{unit}",
                parameters,
                {**self._commanded(unit), "source_data_i": a},
                {
                    "command_ready_o": (f"{unit}_ready", 1),
                    "done_o": (f"{unit}_done", 1),
                    "source_read_o": (f"{unit}_read", 1),
                    "source_address_o": (f"{unit}_address", space),
                    **{f"{output}_o": (f"{prefix}{output}", width) for output, width in writes(unit).items()},
                },
            )

    def vector_space(self) -> None:
        """What the vector queue's units read."""
        net, machine, word = self.net, self.machine, 32 * self.machine.vector
        words = {role: machine.srams[role].nbytes // (4 * machine.vector) for role in VECTOR_SPACE}
        bits = {role: max(1, (count - 1).bit_length()) for role, count in words.items()}
        readers = ("vector_a", "quantizer", "argmax", "vector_b")
        memories = {
            "vector_a": "vector",
            "results": "results",
            "constants_a": "constants",
            "vector_b": "vector",
            "constants_b": "constants",
            "value_scales": "value_scales",
        }
        names = {"vector": "Vector", "results": "Results", "constants": "Constants", "value_scales": "ValueScale"}
        net.instance(
            "vector_space",
            "u_vector_space",
            {
                "Lanes": machine.vector,
                **{f"{names[role]}Bits": bits[role] for role in VECTOR_SPACE},
                "SpaceBits": machine.vector_space_bits,
            },
            {
                "clk_i": self.clock,
                **{
                    f"{reader}_{what}_i": net.nets[f"{reader}_{what}"]
                    for reader in readers
                    for what in ("read", "address")
                },
                **{f"{memory}_data_i": net.net(f"{memory}_word", word) for memory in memories},
            },
            {
                "a_data_o": ("a_data", word),
                "b_data_o": ("b_data", word),
                **{f"{memory}_read_o": (f"{memory}_word_read", 1) for memory in memories},
                **{f"{memory}_address_o": (f"{memory}_word_address", bits[role]) for memory, role in memories.items()},
            },
        )

    def memories(self) -> None:
        """The SRAMs, each between the unit that writes it and those that read it."""
        net, machine = self.net, self.machine
        port, lane_bytes, word = 8 * machine.port, 8 * machine.vector, 32 * machine.vector
        weights = 8 * machine.lanes * machine.width
        for number, role in enumerate(("weights", "weight_scales")):
            width = 8 * machine.srams[role].word
            self._banked(role, self._loaded(number, role), (role.removesuffix("s"), width), port)
        self._two_read("constants", self._loaded(LOADED.index("constants"), "constants"), port)
        self._banked(
            "activations", self._written("quantized_activation"), ("activation", 8 * machine.width), lane_bytes
        )
        net.instance(
            "write_select",
            "u_scale_select",
            {"Targets": len(SCALES)},
            {
                "write_i": net.nets["quantized_scale_write"],
                "select_i": net.slice(
                    net.nets["quantized_scale_address"], self.shape.field_bits("quantizer")["scale"], 2
                ),
            },
            {"write_o": ("scale_select", len(SCALES))},
        )
        selected = [self._selected(number, role) for number, role in enumerate(SCALES)]
        self._banked("activation_scales", selected[0], ("activation_scale", 32), 32)
        for write, (role, reader, data, width) in zip(
            selected[1:],
            (
                ("key_scales", "key_scale", "key_scale_data", 32 * machine.results),
                ("value_scales", "value_scales", "value_scales_word", word),
            ),
            strict=True,
        ):
            net.instance(
                "scale_sram",
                f"u_{role}_sram",
                {"Bits": 8 * machine.srams[role].nbytes, "WordWidth": width, "BeatWidth": port},
                {"clk_i": self.clock, **write, **self._read(reader), **self._beats(role)},
                {"read_data_o": (data, width), "beat_read_data_o": (f"{role}_beat", port)},
            )
        net.instance(
            "kv_sram",
            "u_kv_sram",
            {
                "Depth": machine.srams["kv"].depth,
                "Lanes": machine.lanes,
                "Width": machine.width,
                "PartBytes": machine.vector,
                "BeatBytes": machine.port,
            },
            {"clk_i": self.clock, **self._written("quantized_kv"), **self._read("kv"), **self._beats("kv")},
            {"read_data_o": ("kv_data", weights), "beat_read_data_o": ("kv_beat", port)},
        )
        self._banked("results", self._written("result"), ("results", word), 32 * machine.results)
        self._two_read("vector", self._written("vector_result"), word)

    def _loaded(self, number: int, role: str) -> dict[str, SSAValue]:
        """The write side of an SRAM that the load unit fills."""
        net = self.net
        return {
            "write_i": net.slice(net.nets["load_write"], number, 1),
            "write_address_i": net.slice(net.nets["load_address"], 0, self._beat_bits(role)),
            "write_data_i": net.nets["load_data"],
        }

    def _beats(self, role: str) -> dict[str, SSAValue]:
        """The sides of an SRAM of the KV cache that the load unit fills and the store unit reads."""
        net, number = self.net, CACHED.index(role)
        return {
            **{f"beat_{name}": value for name, value in self._loaded(LOADED.index(role), role).items()},
            "beat_read_i": net.slice(net.nets["store_read"], number, 1),
            "beat_read_address_i": net.slice(net.nets["store_address"], 0, self._beat_bits(role)),
        }

    def _beat_bits(self, role: str) -> int:
        """Bits of an address of an SRAM in beats."""
        return max(1, (self.machine.srams[role].nbytes // self.machine.port - 1).bit_length())

    def _selected(self, number: int, role: str) -> dict[str, SSAValue]:
        """The write side of a memory of the quantizer's scales."""
        net, floats = self.net, max(1, (self.machine.srams[role].nbytes // 4 - 1).bit_length())
        return {
            "write_i": net.slice(net.nets["scale_select"], number, 1),
            "write_address_i": net.slice(net.nets["quantized_scale_address"], 0, floats),
            "write_data_i": net.nets["quantized_scale_data"],
        }

    def _written(self, port: str) -> dict[str, SSAValue]:
        """The write side of an SRAM that a port drives."""
        nets = self.net.nets
        return {
            "write_i": nets[f"{port}_write"],
            "write_address_i": nets[f"{port}_address"],
            "write_data_i": nets[f"{port}_data"],
        }

    def _read(self, reader: str) -> dict[str, SSAValue]:
        """The read side: the matmul unit's ports, or words of the vector queue's space."""
        nets, middle = self.net.nets, "_word" if f"{reader}_word_read" in self.net.nets else ""
        return {"read_i": nets[f"{reader}{middle}_read"], "read_address_i": nets[f"{reader}{middle}_address"]}

    def _banked(self, role: str, write: Mapping[str, SSAValue], reader: tuple[str, int], write_width: int) -> None:
        name, width = reader
        data = f"{name}_word" if f"{name}_word_read" in self.net.nets else f"{name}_data"
        self.net.instance(
            "sram_banked",
            f"u_{role}_sram",
            {"Bits": 8 * self.machine.srams[role].nbytes, "WriteWidth": write_width, "ReadWidth": width},
            {"clk_i": self.clock, **write, **self._read(name)},
            {"read_data_o": (data, width)},
        )

    def _two_read(self, role: str, write: Mapping[str, SSAValue], write_width: int) -> None:
        """An SRAM that both ports of the vector queue's space read."""
        net, word = self.net, 32 * self.machine.vector
        reads: dict[str, SSAValue] = {}
        for port in "ab":
            reads[f"{port}_read_i"] = net.nets[f"{role}_{port}_word_read"]
            reads[f"{port}_address_i"] = net.nets[f"{role}_{port}_word_address"]
        net.instance(
            "sram_two_read",
            f"u_{role}_sram",
            {"Bits": 8 * self.machine.srams[role].nbytes, "WriteWidth": write_width, "ReadWidth": word},
            {"clk_i": self.clock, **write, **reads},
            {f"{port}_data_o": (f"{role}_{port}_word", word) for port in "ab"},
        )
