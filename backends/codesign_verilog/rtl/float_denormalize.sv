// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Makes a normalized significand fit float_round. Combinational.
//
// Where the exponent is below 1 the significand moves down into the subnormal range. A move by 25 leaves it below the
// guard bit, where only sticky_o sees it, so no farther move is needed.

module float_denormalize (
  input  logic signed [9:0]  exponent_i,
  input  logic        [24:0] significand_i,  // with the guard bit
  input  logic               sticky_i,
  output logic        [9:0]  exponent_o,
  output logic        [23:0] significand_o,
  output logic               guard_o,
  output logic               sticky_o
);

  localparam logic signed [9:0] MaxShift = 10'sd25;

  logic        below;
  logic [9:0]  distance;
  logic [4:0]  shift;
  logic [49:0] shifted;

  assign below      = exponent_i < 10'sd1;
  assign distance   = 10'd1 - $unsigned(exponent_i);
  assign exponent_o = below ? 10'd1 : $unsigned(exponent_i);

  always_comb begin
    shift = 5'd0;
    if (below) begin
      shift = (distance > $unsigned(MaxShift)) ? 5'(MaxShift) : 5'(distance);
    end
  end

  assign shifted       = {significand_i, 25'd0} >> shift;
  assign significand_o = shifted[49:26];
  assign guard_o       = shifted[25];
  assign sticky_o      = sticky_i | (|shifted[24:0]);

endmodule
