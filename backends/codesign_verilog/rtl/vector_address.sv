// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks the word addresses of a strided array: slot innermost, then beat, then the next rows.
//
// The rows that take turns are the slots, a stride apart; group_stride_i leads to the next rows after them, beat_step_i
// to a row's next beat. Loaded in one cycle, the first address stands in the next.

module vector_address #(
  parameter int Bits = 10
) (
  input  logic            clk_i,
  input  logic            load_i,
  input  logic [Bits-1:0] base_i,
  input  logic            step_i,
  input  logic            last_slot_i,
  input  logic            last_beat_i,
  input  logic [Bits-1:0] stride_i,
  input  logic [Bits-1:0] group_stride_i,
  input  logic            beat_step_i,
  output logic [Bits-1:0] address_o
);

  logic [Bits-1:0] group_q;  // first slot's first beat
  logic [Bits-1:0] beat_q;   // first slot's beat
  logic [Bits-1:0] next_group;
  logic [Bits-1:0] next_beat;

  assign next_group = group_q + group_stride_i;
  assign next_beat  = beat_q + Bits'(beat_step_i);

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      group_q   <= base_i;
      beat_q    <= base_i;
      address_o <= base_i;
    end else if (step_i && !last_slot_i) begin
      address_o <= address_o + stride_i;
    end else if (step_i && !last_beat_i) begin
      beat_q    <= next_beat;
      address_o <= next_beat;
    end else if (step_i) begin
      group_q   <= next_group;
      beat_q    <= next_group;
      address_o <= next_group;
    end
  end

endmodule
