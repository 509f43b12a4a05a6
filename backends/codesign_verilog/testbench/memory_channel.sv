// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The timing of one AXI4 channel of the memory model, read or write: takes bursts, says when each of their beats moves.
//
// Each stall_i bit holds back one handshake that is not on offer yet: bursts, beats.

module memory_channel #(
  parameter  int PortBytes   = 16,  // of all channels
  parameter  int AddressBits = 26,  // in beats
  localparam int Requests    = 64
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  int                     cycle_i,
  input  logic                   refresh_i,
  input  int                     latency_i,
  input  int                     rate_i,           // PortBytes at most
  input  logic [1:0]             stall_i,
  input  logic                   burst_valid_i,
  output logic                   burst_ready_o,
  input  logic [AddressBits-1:0] burst_address_i,
  input  logic [7:0]             burst_length_i,   // beats, less one
  input  logic                   burst_error_i,    // the burst is answered with errors
  output logic                   beat_valid_o,     // the memory gives or takes a beat
  input  logic                   beat_ready_i,     // so does the other side
  output logic [AddressBits-1:0] beat_address_o,   // where the beat lies
  output logic                   beat_last_o,
  output logic                   beat_error_o
);

  logic                   room;
  logic                   waiting;
  int                     earliest;  // cycle of the oldest burst's first beat
  logic [AddressBits-1:0] address;
  logic [7:0]             length;

  logic [7:0] moved_q;  // beats of the oldest burst
  int         credit_q; // bytes by which the rate is ahead of the beats
  logic       shown_q;  // a beat stands that did not move
  logic       first;
  logic       open;
  logic       beat;

  assign burst_ready_o = room & ~stall_i[0];

  fifo #(
    .Depth        (Requests),
    .Width        (32 + AddressBits + 8 + 1),
    .WriteWhenFull(1'b0)
  ) u_requests (
    .clk_i,
    .rst_ni,
    .write_valid_i(burst_valid_i & burst_ready_o),
    .write_ready_o(room),
    .write_data_i ({cycle_i + latency_i, burst_address_i, burst_length_i, burst_error_i}),
    .read_valid_o (waiting),
    .read_ready_i (beat & beat_last_o),
    .read_data_o  ({earliest, address, length, beat_error_o})
  );

  assign first          = moved_q == '0;
  assign open           = waiting & ~refresh_i
                          & (first ? (cycle_i >= earliest) & (credit_q >= 0) : credit_q > 0);
  assign beat_valid_o   = shown_q | (open & ~stall_i[1]);
  assign beat_address_o = address + AddressBits'(moved_q);
  assign beat_last_o    = moved_q == length;
  assign beat           = beat_valid_o & beat_ready_i;

  // Before beat j in the k-th cycle from a burst's first, credit is (k + 1) * rate - j * PortBytes; before a first
  // beat k cycles after the last beat of the burst before, k * rate - PortBytes.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      moved_q  <= '0;
      credit_q <= 0;
      shown_q  <= 1'b0;
    end else begin
      shown_q <= beat_valid_o & ~beat_ready_i;
      if (beat) begin
        moved_q  <= beat_last_o ? '0 : moved_q + 1'b1;
        credit_q <= (beat_last_o ? 0 : first ? rate_i : credit_q) + rate_i - PortBytes;
      end else if (!refresh_i && (credit_q < 0 || (!first && credit_q == 0))) begin
        credit_q <= credit_q + rate_i;
      end
    end
  end

endmodule
