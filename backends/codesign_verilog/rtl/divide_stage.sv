// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One register stage of float_divide: the next Bits bits of a quotient, by trial subtraction.
//
// The remainder is below twice the divisor. Each bit says whether the divisor goes into it; what is left is doubled.

module divide_stage #(
  parameter int Bits         = 2,
  parameter int QuotientBits = 26
) (
  input  logic                    clk_i,
  input  logic [23:0]             divisor_i,
  input  logic [24:0]             remainder_i,
  input  logic [QuotientBits-1:0] quotient_i,
  output logic [23:0]             divisor_o,
  output logic [24:0]             remainder_o,
  output logic [QuotientBits-1:0] quotient_o
);

  logic [(Bits+1)*25-1:0] remainders;  // before each bit, the first lowest
  logic [Bits-1:0]        bits;        // the first on top

  assign remainders[24:0] = remainder_i;

  for (genvar step = 0; step < Bits; step++) begin : gen_bit
    logic [24:0] remainder;
    logic        borrow;
    logic        unused_top;
    logic [23:0] rest;  // below the divisor where nothing is borrowed

    assign remainder                       = remainders[step*25+:25];
    assign {borrow, unused_top, rest}      = {1'b0, remainder} - {2'd0, divisor_i};
    assign bits[Bits-1-step]               = ~borrow;
    assign remainders[(step+1)*25+:25]     = borrow ? {remainder[23:0], 1'b0} : {rest, 1'b0};
  end

  always_ff @(posedge clk_i) begin
    divisor_o   <= divisor_i;
    remainder_o <= remainders[Bits*25+:25];
    quotient_o  <= {quotient_i[QuotientBits-Bits-1:0], bits};
  end

  logic unused_quotient;
  assign unused_quotient = ^quotient_i[QuotientBits-1-:Bits];

endmodule
