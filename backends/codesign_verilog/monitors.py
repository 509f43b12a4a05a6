"""The testbench's monitors: one for every write port of the chip's units."""

from codesign_verilog.run import monitored
from codesign_verilog.shape import ChipShape


def monitors(shape: ChipShape, header: str) -> str:
    """The module ``monitors``, which opens ``port_N.bin`` for its N-th port and compares what crosses it."""
    ports = monitored(shape)
    lines = [*(f"// {line}" for line in header.splitlines()), "", "module monitors (", "  input logic clk_i", ");"]
    for number, monitor in enumerate(ports):
        port, unit = monitor.port, f"tb.u_chip.u_{monitor.unit}"
        lines += [
            "",
            "  port_monitor #(",
            f"    .AddressBits({port.address_bits}),",
            f"    .DataBits   ({port.data_bits}),",
            f"    .Number     ({number})",
            f"  ) u_{monitor.unit}_{port.name} (",
            "    .clk_i,",
            f"    .write_i  ({unit}.{port.name}_write_o),",
            f"    .address_i({unit}.{port.name}_address_o),",
            f"    .data_i   ({unit}.{port.name}_data_o)",
            "  );",
        ]
    for task in ("open", "close"):
        argument = '"port_{}.bin"' if task == "open" else ""
        calls = [
            f"    u_{monitor.unit}_{monitor.port.name}.{task}({argument.format(number)});"
            for number, monitor in enumerate(ports)
        ]
        lines += ["", f"  task automatic {task};", *calls, "  endtask"]
    return "\n".join([*lines, "", "endmodule", ""])
