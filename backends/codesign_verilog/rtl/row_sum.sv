// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The sum of a row from its running sums: as many as an addition has cycles, as beats follow each other by one cycle.
//
// running_i is the running sum that the row's latest beat went into, a new one each cycle. With a row's last beat, the
// last four are a, b, c and d, and sum_o is (a + b) + (c + d), two additions later. A row of fewer beats has -0 for
// those that are missing: alone_i stands with a row's first running sum, pair_alone_i an addition behind a row's first
// two.

module row_sum (
  input  logic        clk_i,
  input  logic [31:0] running_i,
  input  logic        alone_i,
  input  logic        pair_alone_i,
  output logic [31:0] sum_o
);

  localparam logic [31:0] Neutral = vector_pkg::neutral(1'b0);

  logic [31:0] running_q;
  logic [31:0] pair;
  logic [31:0] pair_q, pair_q2;

  always_ff @(posedge clk_i) begin
    running_q <= running_i;
    pair_q    <= pair;
    pair_q2   <= pair_q;
  end

  float_add u_pair (
    .clk_i,
    .a_i  (alone_i ? Neutral : running_q),
    .b_i  (running_i),
    .sum_o(pair)
  );

  float_add u_pairs (
    .clk_i,
    .a_i  (pair_alone_i ? Neutral : pair_q2),
    .b_i  (pair),
    .sum_o(sum_o)
  );

endmodule
