// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The answers of one AXI4 write channel of the memory model: one for each burst, latency_i cycles after its last beat,
// in order. stall_i holds back an answer that is not on offer yet.

module memory_answers #(
  localparam int Answers = 64
) (
  input  logic clk_i,
  input  logic rst_ni,
  input  int   cycle_i,
  input  int   latency_i,
  input  logic stall_i,
  input  logic burst_i,   // a burst's last beat is taken
  input  logic error_i,
  output logic bvalid_o,
  input  logic bready_i,
  output logic berror_o
);

  logic unused_room;  // more bursts than there are places are never unanswered
  logic waiting;
  int   earliest;
  logic shown_q;

  fifo #(
    .Depth        (Answers),
    .Width        (32 + 1),
    .WriteWhenFull(1'b0)
  ) u_answers (
    .clk_i,
    .rst_ni,
    .write_valid_i(burst_i),
    .write_ready_o(unused_room),
    .write_data_i ({cycle_i + latency_i, error_i}),
    .read_valid_o (waiting),
    .read_ready_i (bvalid_o & bready_i),
    .read_data_o  ({earliest, berror_o})
  );

  assign bvalid_o = shown_q | (waiting & (cycle_i >= earliest) & ~stall_i);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      shown_q <= 1'b0;
    end else begin
      shown_q <= bvalid_o & ~bready_i;
    end
  end

endmodule
