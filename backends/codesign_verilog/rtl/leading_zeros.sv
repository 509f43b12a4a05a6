// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Leading-zero count by halving. Combinational.
//
// The count of an all-zero value is Width where the count's bits can hold it, otherwise Width - 1: callers treat zero
// by its significand, not by its count.

module leading_zeros #(
  parameter  int Width     = 32,
  localparam int CountBits = $clog2(Width)
) (
  input  logic [Width-1:0]     value_i,
  output logic [CountBits-1:0] count_o
);

  localparam int PaddedWidth = 1 << CountBits;

  // Ones below the value end the count at Width.
  logic [PaddedWidth-1:0] padded;
  if (PaddedWidth == Width) begin : gen_exact
    assign padded = value_i;
  end else begin : gen_padded
    assign padded = {value_i, {(PaddedWidth - Width){1'b1}}};
  end

  logic [PaddedWidth-1:0] remaining;
  always_comb begin
    remaining = padded;
    count_o   = '0;
    for (int step = CountBits - 1; step >= 0; step--) begin
      if ((remaining >> (PaddedWidth - (1 << step))) == '0) begin
        count_o[step] = 1'b1;
        remaining     = remaining << (1 << step);
      end
    end
  end

endmodule
