// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compares two binary32: -0 equals +0, and nothing holds of a NaN.
//
// Latency float_pkg::latency(float_pkg::Compare).

module float_compare (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic        less_o,
  output logic        equal_o
);

  logic               ordered;
  logic               zeros;
  logic signed [31:0] a_key, b_key;

  assign ordered = ~(float_pkg::is_nan(a_i[30:0]) | float_pkg::is_nan(b_i[30:0]));
  assign zeros   = (a_i[30:0] == 31'd0) & (b_i[30:0] == 31'd0);
  assign a_key   = float_pkg::order_key(a_i);
  assign b_key   = float_pkg::order_key(b_i);

  always_ff @(posedge clk_i) begin
    less_o  <= ordered & ~zeros & (a_key < b_key);
    equal_o <= ordered & (zeros | (a_i == b_i));
  end

endmodule
