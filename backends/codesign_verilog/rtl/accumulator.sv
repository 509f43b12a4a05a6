// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens × Lanes int32 running sums over k slices.
//
// A token's first slice starts its sums, its last slice makes them leave at sums_o in the same cycle, so the next row
// tile may start over at once. The sum is exact: lowering refuses a reduction that could leave int32.

module accumulator #(
  parameter  int Lanes          = 32,
  parameter  int Tokens         = 8,
  localparam int TokenIndexBits = (Tokens > 1) ? $clog2(Tokens) : 1
) (
  input  logic                      clk_i,
  input  logic                      valid_i,
  input  logic                      first_i,
  input  logic [TokenIndexBits-1:0] token_i,
  input  logic [Lanes*32-1:0]       addends_i,
  output logic [Lanes*32-1:0]       sums_o
);

  logic [Lanes*32-1:0] sums_q [Tokens];
  logic [Lanes*32-1:0] previous;

  assign previous = first_i ? '0 : sums_q[token_i];

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    assign sums_o[lane*32+:32] = previous[lane*32+:32] + addends_i[lane*32+:32];
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      sums_q[token_i] <= sums_o;
    end
  end

endmodule
