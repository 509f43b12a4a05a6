// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lanes adders, or Lanes units of the greater, that work side by side or as the balanced tree that reduces a beat.
//
// Side by side, unit i takes lane i of a and of b. In a reduction the first half of the units takes neighboring
// lanes of beat_i, unit i of the second half the results of units 2 i - Lanes and 2 i - Lanes + 1: level under level,
// until the last unit takes the beat's result and its own of a latency ago, which makes it the accumulator over beats:
// as many accumulators in turn as the latency has cycles. first_i makes it start anew; it stands when one of a row's
// first beats, as many, reaches the last unit, $clog2(Lanes) latencies behind beat_i.

module vector_combine #(
  parameter int Lanes     = 16,   // a power of two, 4 at least
  parameter bit IsMaximum = 1'b0  // -0 below +0; otherwise a sum
) (
  input  logic                clk_i,
  input  logic                reduce_i,
  input  logic                first_i,
  input  logic [Lanes*32-1:0] beat_i,
  input  logic [Lanes*32-1:0] a_i,
  input  logic [Lanes*32-1:0] b_i,
  output logic [Lanes*32-1:0] results_o  // of a reduction, the last
);

  localparam logic [31:0] Neutral = vector_pkg::neutral(IsMaximum);

  for (genvar i = 0; i < Lanes; i++) begin : gen_unit
    logic [31:0] reduce_left, reduce_right;
    logic [31:0] left, right;

    if (i < Lanes / 2) begin : gen_lanes
      assign reduce_left  = beat_i[(2*i)*32+:32];
      assign reduce_right = beat_i[(2*i+1)*32+:32];
    end else if (i < Lanes - 1) begin : gen_level
      assign reduce_left  = results_o[(2*i-Lanes)*32+:32];
      assign reduce_right = results_o[(2*i-Lanes+1)*32+:32];
    end else begin : gen_accumulator
      assign reduce_left  = results_o[(Lanes-2)*32+:32];
      assign reduce_right = first_i ? Neutral : results_o[(Lanes-1)*32+:32];
    end

    assign left  = reduce_i ? reduce_left : a_i[i*32+:32];
    assign right = reduce_i ? reduce_right : b_i[i*32+:32];

    if (IsMaximum) begin : gen_maximum
      float_max u_max (
        .clk_i,
        .a_i      (left),
        .b_i      (right),
        .maximum_o(results_o[i*32+:32])
      );
    end else begin : gen_sum
      float_add u_add (
        .clk_i,
        .a_i  (left),
        .b_i  (right),
        .sum_o(results_o[i*32+:32])
      );
    end
  end

endmodule
