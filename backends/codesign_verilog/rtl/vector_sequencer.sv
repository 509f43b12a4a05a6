// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks the loops of a vector command, a beat a cycle: rows, beats.
//
// Issues follow the cycle of start_i.

module vector_sequencer #(
  parameter int RowsBits  = 16,
  parameter int BeatsBits = 12
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 start_i,
  input  logic [RowsBits-1:0]  rows_i,
  input  logic [BeatsBits-1:0] last_beat_i,
  output logic                 issue_o,
  output logic                 first_beat_o,
  output logic                 last_beat_o
);

  logic [BeatsBits-1:0] beat_q;
  logic [RowsBits-1:0]  row_q;

  assign first_beat_o = beat_q == '0;
  assign last_beat_o  = beat_q == last_beat_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      issue_o <= 1'b0;
    end else if (start_i) begin
      issue_o <= 1'b1;
    end else if (last_beat_o && row_q + 1'b1 == rows_i) begin
      issue_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      beat_q <= '0;
      row_q  <= '0;
    end else if (issue_o) begin
      beat_q <= last_beat_o ? '0 : beat_q + 1'b1;
      row_q  <= last_beat_o ? row_q + 1'b1 : row_q;
    end
  end

endmodule
