// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Greater of two binary32: -0 is below +0, and a NaN operand gives the canonical NaN.
//
// Latency float_pkg::latency(float_pkg::Max).

module float_max (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] maximum_o
);

  logic               nan;
  logic signed [31:0] a_key, b_key;

  assign nan   = float_pkg::is_nan(a_i[30:0]) | float_pkg::is_nan(b_i[30:0]);
  assign a_key = float_pkg::order_key(a_i);
  assign b_key = float_pkg::order_key(b_i);

  always_ff @(posedge clk_i) begin
    if (nan) begin
      maximum_o <= float_pkg::CanonicalNan;
    end else if (a_key < b_key) begin
      maximum_o <= b_i;
    end else begin
      maximum_o <= a_i;
    end
  end

endmodule
