// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One register stage of float_sqrt: the next Bits bits of a root, by trial subtraction.
//
// The remainder is the radicand so far less the square of the root so far. A root grown by a one squares to
// 4 root^2 + (4 root + 1): where the remainder, with the next two radicand bits, has room for 4 root + 1, the bit is 1.
// So the remainder is at most twice the root.

module sqrt_stage #(
  parameter int Bits     = 2,
  parameter int RootBits = 26
) (
  input  logic                clk_i,
  input  logic [25:0]         radicand_i,  // its next bits on top
  input  logic [RootBits:0]   remainder_i,
  input  logic [RootBits-1:0] root_i,
  output logic [25:0]         radicand_o,
  output logic [RootBits:0]   remainder_o,
  output logic [RootBits-1:0] root_o
);

  // Before each bit, the first lowest.
  logic [(Bits+1)*(RootBits+1)-1:0] remainders;
  logic [(Bits+1)*RootBits-1:0]     roots;

  assign remainders[RootBits:0] = remainder_i;
  assign roots[RootBits-1:0]    = root_i;

  for (genvar step = 0; step < Bits; step++) begin : gen_bit
    logic [RootBits-1:0] root;
    logic [RootBits+2:0] extended;
    logic                borrow;
    logic [1:0]          unused_top;
    logic [RootBits:0]   rest;
    logic                unused_root;

    assign root                       = roots[step*RootBits+:RootBits];
    assign extended                   =
        {remainders[step*(RootBits+1)+:RootBits+1], radicand_i[25-2*step-:2]};
    assign {borrow, unused_top, rest} = {1'b0, extended} - {2'd0, root, 2'b01};
    assign unused_root                = root[RootBits-1];

    assign remainders[(step+1)*(RootBits+1)+:RootBits+1] = borrow ? extended[RootBits:0] : rest;
    assign roots[(step+1)*RootBits+:RootBits]            = {root[RootBits-2:0], ~borrow};
  end

  always_ff @(posedge clk_i) begin
    radicand_o  <= radicand_i << (2 * Bits);
    remainder_o <= remainders[Bits*(RootBits+1)+:RootBits+1];
    root_o      <= roots[Bits*RootBits+:RootBits];
  end

endmodule
