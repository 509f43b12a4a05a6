// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Exact signed product sum of Width int8 pairs: one lane of the dot product.
//
// Registers follow the last adder level and, counted back from it, every LevelsPerStage levels, of which the products
// are the first; the latency is matmul_pkg::dot_product_latency. Level n sums pairs of level n - 1 and needs one bit
// more, so nothing overflows.

module adder_tree #(
  parameter  int Width          = 32,
  parameter  int LevelsPerStage = 2,
  localparam int Levels         = $clog2(Width),
  localparam int SumBits        = 16 + Levels
) (
  input  logic               clk_i,
  input  logic [Width*8-1:0] a_i,
  input  logic [Width*8-1:0] b_i,
  output logic [SumBits-1:0] sum_o
);

  for (genvar level = 0; level <= Levels; level++) begin : gen_level
    // A width that is no power of two is padded with zero products, which synthesis removes.
    localparam int Count = 1 << (Levels - level);
    localparam int Bits  = 16 + level;

    logic [Count*Bits-1:0] next;
    logic [Count*Bits-1:0] sums;

    for (genvar i = 0; i < Count; i++) begin : gen_sum
      if (level == 0 && i < Width) begin : gen_product
        assign next[i*Bits+:Bits] = 16'($signed(a_i[i*8+:8])) * 16'($signed(b_i[i*8+:8]));
      end else if (level == 0) begin : gen_padding
        assign next[i*Bits+:Bits] = '0;
      end else begin : gen_add
        logic [Bits-2:0] left, right;
        assign left  = gen_level[level-1].sums[(2*i)*(Bits-1)+:Bits-1];
        assign right = gen_level[level-1].sums[(2*i+1)*(Bits-1)+:Bits-1];
        assign next[i*Bits+:Bits] = Bits'($signed(left)) + Bits'($signed(right));
      end
    end

    if ((Levels - level) % LevelsPerStage == 0) begin : gen_register
      always_ff @(posedge clk_i) begin
        sums <= next;
      end
    end else begin : gen_wire
      assign sums = next;
    end
  end

  assign sum_o = gen_level[Levels].sums;

endmodule
