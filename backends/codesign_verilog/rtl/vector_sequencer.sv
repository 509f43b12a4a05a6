// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks the loops of a vector command, a beat a cycle: rows, or for a sum groups of rows; beats; in a sum, the rows of
// the group in turn.
//
// Issues follow the cycle of start_i. A sum's group takes Turns cycles a beat even when fewer rows are left; what is
// issued for those missing never gets to a last beat, as nothing follows the last row's.

module vector_sequencer #(
  parameter int Turns     = 4,   // rows of a group
  parameter int RowsBits  = 16,
  parameter int BeatsBits = 12
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 start_i,
  input  logic                 turns_i,  // rows take turns
  input  logic [RowsBits-1:0]  rows_i,
  input  logic [BeatsBits-1:0] last_beat_i,
  output logic                 issue_o,
  output logic                 first_beat_o,
  output logic                 last_beat_o,
  output logic                 last_slot_o
);

  localparam int SlotBits = $clog2(Turns);
  localparam logic [SlotBits-1:0] LastSlot = SlotBits'(Turns - 1);

  logic                 active_q;
  logic [SlotBits-1:0]  slot_q;
  logic [BeatsBits-1:0] beat_q;
  logic [RowsBits-1:0]  group_q;  // its first row
  logic [RowsBits-1:0]  row;

  assign row          = group_q + RowsBits'(slot_q);
  assign issue_o      = active_q;
  assign first_beat_o = beat_q == '0;
  assign last_beat_o  = beat_q == last_beat_i;
  assign last_slot_o  = ~turns_i | (slot_q == LastSlot);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
    end else if (start_i) begin
      active_q <= 1'b1;
    end else if (issue_o && last_beat_o && row + 1'b1 == rows_i) begin
      active_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      slot_q  <= '0;
      beat_q  <= '0;
      group_q <= '0;
    end else if (issue_o && !last_slot_o) begin
      slot_q <= slot_q + 1'b1;
    end else if (issue_o) begin
      slot_q <= '0;
      beat_q <= last_beat_o ? '0 : beat_q + 1'b1;
      if (last_beat_o) begin
        group_q <= row + 1'b1;
      end
    end
  end

endmodule
