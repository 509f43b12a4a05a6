// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What orders the queues: a counter of credits for each ordered pair of them. Also says when all have halted.
//
// Of a vector over pairs, bit q * Queues + r belongs to queue q and its partner r. A credit given in a cycle can be
// taken from the next one on; a program lets no counter pass 255. start_i sets the counters to 0. done_o stands from
// the cycle after the one in which the last queue halts until the next start.

module scheduler #(
  parameter int Queues = 3
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     start_i,
  output logic                     done_o,
  // Queues.
  input  logic [Queues-1:0]        running_i,
  output logic [Queues*Queues-1:0] credit_o,       // q has one from r
  input  logic [Queues*Queues-1:0] take_i,         // q takes one from r
  input  logic [Queues*Queues-1:0] done_signal_i,  // q gives one to r
  input  logic [Queues*Queues-1:0] sync_signal_i   // q gives one to r, perhaps besides
);

  localparam int CountBits = 8;

  logic started_q;

  assign done_o = started_q & (running_i == '0);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      started_q <= 1'b0;
    end else begin
      started_q <= started_q | start_i;
    end
  end

  for (genvar taker = 0; taker < Queues; taker++) begin : gen_taker
    for (genvar giver = 0; giver < Queues; giver++) begin : gen_giver
      localparam int Take = taker * Queues + giver;
      localparam int Give = giver * Queues + taker;

      logic [CountBits-1:0] count_q;

      assign credit_o[Take] = count_q != '0;

      always_ff @(posedge clk_i or negedge rst_ni) begin
        if (!rst_ni) begin
          count_q <= '0;
        end else if (start_i) begin
          count_q <= '0;
        end else begin
          count_q <= count_q + CountBits'(done_signal_i[Give]) + CountBits'(sync_signal_i[Give]) -
                     CountBits'(take_i[Take]);
        end
      end
    end
  end

endmodule
