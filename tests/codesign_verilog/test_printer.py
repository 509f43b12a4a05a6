"""Structural IR as Verilog: names, widths and connections, as one would write them by hand."""

import pytest
from xdsl.dialects import comb
from xdsl.dialects.builtin import IntegerType
from xdsl.dialects.hw import HWModuleOp

from codesign.errors import CodesignError
from codesign_verilog.netlist import Netlist
from codesign_verilog.printer import print_module


def top(net: Netlist) -> HWModuleOp:
    module = net.module()
    module.verify()
    return next(op for op in module.ops if isinstance(op, HWModuleOp))


def small() -> Netlist:
    """A counter that reads a net driven by a later instance, a slice, a constant and a concatenation."""
    net = Netlist("small")
    clock, data = net.input("clk_i"), net.input("data_i", 8)
    net.instance(
        "counter",
        "u_counter",
        {"Width": 4, "Step": 2},
        {
            "clk_i": clock,
            "step_i": net.slice(data, 2, 4),
            "enable_i": net.net("enable"),
            "top_i": net.slice(data, 7, 1),
        },
        {"count_o": ("count", 4), "carry_o": ("carry", 1)},
    )
    wide = net.concatenate([net.slice(data, 0, 8), net.nets["count"], net.constant(3, 2)])
    net.instance("gate", "u_gate", {}, {"wide_i": wide}, {"enable_o": ("enable", 1), "spare_o": ("spare", 5)})
    net.output("carry_o", "carry")
    net.output("count_o", "count")
    net.unused("data", net.slice(data, 0, 2))
    return net


EXPECTED = """\
// A small module.
//
// Made by a test.

module small (
  input  logic       clk_i,
  input  logic [7:0] data_i,
  output logic       carry_o,
  output logic [3:0] count_o
);

  logic [3:0] count;
  logic       enable;
  logic       unused_data;

  counter #(
    .Width(4),
    .Step (2)
  ) u_counter (
    .clk_i   (clk_i),
    .step_i  (data_i[5:2]),
    .enable_i(enable),
    .top_i   (data_i[7]),
    .count_o (count),
    .carry_o (carry_o)
  );

  gate u_gate (
    .wide_i  ({data_i, count, 2'd3}),
    .enable_o(enable),
    .spare_o ()
  );

  assign unused_data = ^data_i[1:0];

  assign count_o = count;

endmodule
"""


def test_a_module_reads_as_if_written_by_hand() -> None:
    assert print_module(top(small()), "A small module.\n\nMade by a test.") == EXPECTED


def test_instances_of_other_widths_are_one_verilog_module() -> None:
    net = Netlist("two")
    net.instance("memory", "u_a", {"Width": 4}, {"data_i": net.input("a_i", 4)}, {"data_o": ("a", 4)})
    net.instance("memory", "u_b", {"Width": 8}, {"data_i": net.input("b_i", 8)}, {"data_o": ("b", 8)})
    net.output("a_o", "a")
    net.output("b_o", "b")
    text = print_module(top(net), "")
    assert "  memory #(\n    .Width(4)\n  ) u_a (" in text
    assert "  memory #(\n    .Width(8)\n  ) u_b (" in text
    assert "memory_1" not in text


def test_an_operation_without_verilog_is_named() -> None:
    net = Netlist("odd")
    a = net.input("a_i", 4)
    add = comb.AddOp([a, a], IntegerType(4))
    add.result.name_hint = "sum"
    net.block.add_op(add)
    net.nets["sum"] = add.result
    net.output("sum_o", "sum")
    with pytest.raises(CodesignError, match=r"comb\.add has no Verilog here"):
        print_module(top(net), "")


def test_a_net_that_nothing_drives() -> None:
    net = Netlist("loose")
    net.instance("gate", "u_gate", {}, {"a_i": net.net("nowhere")}, {})
    with pytest.raises(AssertionError, match="nowhere"):
        net.module()
