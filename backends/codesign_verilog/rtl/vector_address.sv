// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks the word addresses of a strided array, row by row.
//
// beat_step_i leads to a row's next beat, stride_i to the next row. Loaded in one cycle, the first address stands in
// the next.

module vector_address #(
  parameter int Bits = 10
) (
  input  logic            clk_i,
  input  logic            load_i,
  input  logic [Bits-1:0] base_i,
  input  logic            step_i,
  input  logic            last_beat_i,
  input  logic [Bits-1:0] stride_i,
  input  logic            beat_step_i,
  output logic [Bits-1:0] address_o
);

  logic [Bits-1:0] row_q;  // its first beat
  logic [Bits-1:0] next_row;

  assign next_row = row_q + stride_i;

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      row_q     <= base_i;
      address_o <= base_i;
    end else if (step_i && !last_beat_i) begin
      address_o <= address_o + Bits'(beat_step_i);
    end else if (step_i) begin
      row_q     <= next_row;
      address_o <= next_row;
    end
  end

endmodule
