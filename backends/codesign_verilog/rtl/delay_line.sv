// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Delays a word by a fixed number of cycles. Reset clears it, so a valid bit may travel in it; for data that a valid
// bit elsewhere vouches for, rst_ni is tied high.

module delay_line #(
  parameter int Width  = 1,
  parameter int Cycles = 1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Width-1:0] data_i,
  output logic [Width-1:0] data_o
);

  // The oldest word is at the top.
  logic [Width*Cycles-1:0] words_q;

  if (Cycles == 1) begin : gen_single
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        words_q <= '0;
      end else begin
        words_q <= data_i;
      end
    end
  end else begin : gen_line
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        words_q <= '0;
      end else begin
        words_q <= {words_q[Width*(Cycles-1)-1:0], data_i};
      end
    end
  end

  assign data_o = words_q[Width*Cycles-1-:Width];

endmodule
