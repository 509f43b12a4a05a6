// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lanes dot products of one activation slice: every lane multiplies the same Width int8 activations by its own weights.
//
// Weight byte lane * Width + i meets activation byte i. Sums are exact int32. Latency
// matmul_pkg::dot_product_latency(Width, LevelsPerStage), one slice a cycle.

module dot_product #(
  parameter int Lanes          = 32,
  parameter int Width          = 32,
  parameter int LevelsPerStage = 2
) (
  input  logic                     clk_i,
  input  logic [Width*8-1:0]       activations_i,
  input  logic [Lanes*Width*8-1:0] weights_i,
  output logic [Lanes*32-1:0]      sums_o
);

  localparam int SumBits = 16 + $clog2(Width);

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic [SumBits-1:0] sum;

    adder_tree #(
      .Width         (Width),
      .LevelsPerStage(LevelsPerStage)
    ) u_adder_tree (
      .clk_i,
      .a_i  (activations_i),
      .b_i  (weights_i[lane*Width*8+:Width*8]),
      .sum_o(sum)
    );

    assign sums_o[lane*32+:32] = 32'($signed(sum));
  end

endmodule
