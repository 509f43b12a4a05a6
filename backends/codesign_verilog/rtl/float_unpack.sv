// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Takes a binary32 apart. Combinational.
//
// The magnitude is significand_o (binary point after the top bit) times 2^(exponent_o - 127). A subnormal has exponent
// 1 and its top significand bit clear. Of infinities and NaNs only the flags count.

module float_unpack (
  input  logic [31:0] float_i,
  output logic        sign_o,
  output logic [7:0]  exponent_o,
  output logic [23:0] significand_o,
  output logic        zero_o,
  output logic        infinite_o,
  output logic        nan_o
);

  logic normal;

  assign normal        = float_i[30:23] != 8'd0;
  assign sign_o        = float_i[31];
  assign exponent_o    = normal ? float_i[30:23] : 8'd1;
  assign significand_o = {normal, float_i[22:0]};
  assign zero_o        = float_i[30:0] == 31'd0;
  assign infinite_o    = float_i[30:0] == {float_pkg::MaxExponent, 23'd0};
  assign nan_o         = float_pkg::is_nan(float_i[30:0]);

endmodule
