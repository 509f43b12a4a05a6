// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A clock that rests while enable_i is low. The point where a technology swaps in its own gating cell.
//
// The enable of a cycle decides on the edge that ends it; the latch holds it while the clock is high, so that no edge
// is cut short.

module clock_gate (
  input  logic clk_i,
  input  logic enable_i,
  output logic clk_o
);

  logic enable_q;

  always_latch begin
    if (!clk_i) begin
      enable_q = enable_i;
    end
  end

  assign clk_o = clk_i & enable_q;

endmodule
