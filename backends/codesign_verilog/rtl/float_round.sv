// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rounds a normalized significand to binary32, ties to even. Combinational; the last step of every float operation.
//
// The value is significand_i (24 bits, binary point after the top bit) with guard_i and sticky_i below it, times
// 2^(exponent_i - 127). exponent_i is at least 1; a significand whose top bit is clear is subnormal (or zero) and then
// exponent_i is 1. Overflow gives infinity.

module float_round (
  input  logic        sign_i,
  input  logic [9:0]  exponent_i,
  input  logic [23:0] significand_i,
  input  logic        guard_i,
  input  logic        sticky_i,
  output logic [31:0] float_o
);

  logic [7:0]  exponent_field;
  logic [30:0] magnitude;
  logic        round_up;

  assign exponent_field = significand_i[23] ? exponent_i[7:0] : 8'd0;
  assign round_up       = guard_i & (sticky_i | significand_i[0]);
  // A carry out of the fraction raises the exponent, which is the right result, up to infinity.
  assign magnitude      = {exponent_field, significand_i[22:0]} + 31'(round_up);

  always_comb begin
    float_o = {sign_i, magnitude};
    if (exponent_i >= 10'(float_pkg::MaxExponent)) begin
      float_o = {sign_i, float_pkg::MaxExponent, 23'd0};
    end
  end

endmodule
