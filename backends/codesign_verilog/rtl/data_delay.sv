// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Delays a word by a fixed number of cycles, without reset: for data that a valid bit elsewhere vouches for.

module data_delay #(
  parameter int Width  = 1,
  parameter int Cycles = 1
) (
  input  logic             clk_i,
  input  logic [Width-1:0] data_i,
  output logic [Width-1:0] data_o
);

  // The oldest word is at the top.
  logic [Width*Cycles-1:0] words_q;

  if (Cycles == 1) begin : gen_single
    always_ff @(posedge clk_i) begin
      words_q <= data_i;
    end
  end else begin : gen_line
    always_ff @(posedge clk_i) begin
      words_q <= {words_q[Width*(Cycles-1)-1:0], data_i};
    end
  end

  assign data_o = words_q[Width*Cycles-1-:Width];

endmodule
