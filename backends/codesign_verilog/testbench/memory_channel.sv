// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The timing of one AXI4 read channel of the memory model: takes bursts, says when each of their beats comes.
//
// Each stall_i bit holds back one handshake that is not on offer yet: requests, answers.

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
  input  int                     rate_i,     // PortBytes at most
  input  logic [1:0]             stall_i,
  input  logic                   arvalid_i,
  output logic                   arready_o,
  input  logic [AddressBits-1:0] araddr_i,
  input  logic [7:0]             arlen_i,
  input  logic                   arerror_i,  // the burst's answers are errors
  output logic                   rvalid_o,
  input  logic                   rready_i,
  output logic [AddressBits-1:0] raddr_o,    // where the beat lies
  output logic                   rlast_o,
  output logic                   rerror_o
);

  logic                   room;
  logic                   waiting;
  int                     earliest;  // cycle of the oldest burst's first beat
  logic [AddressBits-1:0] address;
  logic [7:0]             length;    // beats, less one

  logic [7:0] sent_q;   // beats of the oldest burst
  int         credit_q; // bytes by which the rate is ahead of the beats
  logic       shown_q;  // a beat stands that was not taken
  logic       first;
  logic       open;
  logic       beat;

  assign arready_o = room & ~stall_i[0];

  fifo #(
    .Depth        (Requests),
    .Width        (32 + AddressBits + 8 + 1),
    .WriteWhenFull(1'b0)
  ) u_requests (
    .clk_i,
    .rst_ni,
    .write_valid_i(arvalid_i & arready_o),
    .write_ready_o(room),
    .write_data_i ({cycle_i + latency_i, araddr_i, arlen_i, arerror_i}),
    .read_valid_o (waiting),
    .read_ready_i (beat & rlast_o),
    .read_data_o  ({earliest, address, length, rerror_o})
  );

  assign first    = sent_q == '0;
  assign open     = waiting & ~refresh_i & (first ? (cycle_i >= earliest) & (credit_q >= 0) : credit_q > 0);
  assign rvalid_o = shown_q | (open & ~stall_i[1]);
  assign raddr_o  = address + AddressBits'(sent_q);
  assign rlast_o  = sent_q == length;
  assign beat     = rvalid_o & rready_i;

  // Before beat j in the k-th cycle from a burst's first, credit is (k + 1) * rate - j * PortBytes; before a first
  // beat k cycles after the last beat of the burst before, k * rate - PortBytes.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      sent_q   <= '0;
      credit_q <= 0;
      shown_q  <= 1'b0;
    end else begin
      shown_q <= rvalid_o & ~rready_i;
      if (beat) begin
        sent_q   <= rlast_o ? '0 : sent_q + 1'b1;
        credit_q <= (rlast_o ? 0 : first ? rate_i : credit_q) + rate_i - PortBytes;
      end else if (!refresh_i && (credit_q < 0 || (!first && credit_q == 0))) begin
        credit_q <= credit_q + rate_i;
      end
    end
  end

endmodule
