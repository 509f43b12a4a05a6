// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Signed 32-bit integer to binary32, ties to even (exact up to 2^24 in magnitude).
//
// Latency float_pkg::IntToFloatLatency. Stage 1 takes the magnitude and counts its leading zeros, stage 2 normalizes
// and rounds.

module int_to_float (
  input  logic        clk_i,
  input  logic [31:0] integer_i,
  output logic [31:0] float_o
);

  // Exponent of an integer whose top magnitude bit is bit 31.
  localparam logic [9:0] TopExponent = 10'(float_pkg::ExponentBias + 31);

  logic [31:0] magnitude;
  logic [4:0]  zeros;

  assign magnitude = integer_i[31] ? -integer_i : integer_i;

  leading_zeros #(.Width(32)) u_leading_zeros (
    .value_i(magnitude),
    .count_o(zeros)
  );

  logic        sign_q;
  logic [31:0] magnitude_q;
  logic [4:0]  zeros_q;

  always_ff @(posedge clk_i) begin
    sign_q      <= integer_i[31];
    magnitude_q <= magnitude;
    zeros_q     <= zeros;
  end

  logic [31:0] normalized;
  logic [31:0] rounded;

  assign normalized = magnitude_q << zeros_q;

  float_round u_round (
    .sign_i       (sign_q),
    .exponent_i   (TopExponent - 10'(zeros_q)),
    .significand_i(normalized[31:8]),
    .guard_i      (normalized[7]),
    .sticky_i     (|normalized[6:0]),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    float_o <= rounded;
  end

endmodule
