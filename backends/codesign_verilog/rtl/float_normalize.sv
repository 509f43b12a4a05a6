// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shifts the significand of a nonzero finite binary32 up until its top bit is set. Combinational.
//
// The exponent of a subnormal falls below 1, to -22 at the least.

module float_normalize (
  input  logic        [7:0]  exponent_i,
  input  logic        [23:0] significand_i,
  output logic signed [9:0]  exponent_o,
  output logic        [23:0] significand_o
);

  logic [4:0] zeros;

  leading_zeros #(.Width(24)) u_leading_zeros (
    .value_i(significand_i),
    .count_o(zeros)
  );

  assign exponent_o    = $signed(10'(exponent_i) - 10'(zeros));
  assign significand_o = significand_i << zeros;

endmodule
