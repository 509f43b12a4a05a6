// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// binary32 sum, ties to even, subnormals in and out, infinities, one canonical NaN. An exact zero is +0 unless both
// operands are -0.
//
// Latency float_pkg::latency(float_pkg::Add). Stage 1 puts the operand of larger magnitude first, stage 2 aligns the
// other to it and adds or subtracts, stage 3 normalizes, stage 4 rounds.

module float_add (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] sum_o
);

  // Stage 1.
  logic [31:0] larger, smaller;
  logic        larger_sign, smaller_sign;
  logic [7:0]  larger_exponent, smaller_exponent;
  logic [23:0] larger_significand, smaller_significand;
  logic        larger_infinite, smaller_infinite;
  logic        larger_nan, smaller_nan;
  logic        unused_larger_zero, unused_smaller_zero;
  logic        differ;

  assign {larger, smaller} = (a_i[30:0] >= b_i[30:0]) ? {a_i, b_i} : {b_i, a_i};
  assign differ            = larger_sign ^ smaller_sign;

  float_unpack u_larger (
    .float_i      (larger),
    .sign_o       (larger_sign),
    .exponent_o   (larger_exponent),
    .significand_o(larger_significand),
    .zero_o       (unused_larger_zero),
    .infinite_o   (larger_infinite),
    .nan_o        (larger_nan)
  );

  float_unpack u_smaller (
    .float_i      (smaller),
    .sign_o       (smaller_sign),
    .exponent_o   (smaller_exponent),
    .significand_o(smaller_significand),
    .zero_o       (unused_smaller_zero),
    .infinite_o   (smaller_infinite),
    .nan_o        (smaller_nan)
  );

  logic        sign_q;
  logic        subtract_q;
  logic        nan_q;
  logic        infinite_q;
  logic [7:0]  exponent_q;
  logic [7:0]  distance_q;
  logic [23:0] larger_q;
  logic [23:0] smaller_q;

  always_ff @(posedge clk_i) begin
    sign_q     <= larger_sign;
    subtract_q <= differ;
    nan_q      <= larger_nan | smaller_nan | (larger_infinite & smaller_infinite & differ);
    infinite_q <= larger_infinite;
    exponent_q <= larger_exponent;
    distance_q <= larger_exponent - smaller_exponent;
    larger_q   <= larger_significand;
    smaller_q  <= smaller_significand;
  end

  // Stage 2. Guard, round and sticky bits follow the significands: a difference of operands two or more apart in
  // exponent loses at most one leading bit, so that they decide the rounding exactly. A shift by 27 leaves all of the
  // smaller significand to the sticky bit.
  logic [4:0]  shift;
  logic [50:0] shifted;
  logic [27:0] aligned_larger;
  logic [27:0] aligned_smaller;

  assign shift           = (distance_q > 8'd27) ? 5'd27 : 5'(distance_q);
  assign shifted         = {smaller_q, 27'd0} >> shift;
  assign aligned_larger  = {1'b0, larger_q, 3'd0};
  assign aligned_smaller = {1'b0, shifted[50:25], |shifted[24:0]};

  logic        sign_q2;
  logic        subtract_q2;
  logic        nan_q2;
  logic        infinite_q2;
  logic [7:0]  exponent_q2;
  logic [27:0] sum_q2;

  always_ff @(posedge clk_i) begin
    sign_q2     <= sign_q;
    subtract_q2 <= subtract_q;
    nan_q2      <= nan_q;
    infinite_q2 <= infinite_q;
    exponent_q2 <= exponent_q;
    sum_q2      <= subtract_q ? aligned_larger - aligned_smaller : aligned_larger + aligned_smaller;
  end

  // Stage 3. The exponent of the top bit, the carry, is one more; shifting stops where the exponent reaches 1.
  logic [4:0]  zeros;
  logic [7:0]  left_shift;
  logic [27:0] normalized;

  leading_zeros #(.Width(28)) u_leading_zeros (
    .value_i(sum_q2),
    .count_o(zeros)
  );

  assign left_shift = (8'(zeros) < exponent_q2) ? 8'(zeros) : exponent_q2;
  assign normalized = sum_q2 << left_shift;

  logic        sign_q3;
  logic        nan_q3;
  logic        infinite_q3;
  logic [9:0]  exponent_q3;
  logic [27:0] normalized_q3;

  always_ff @(posedge clk_i) begin
    sign_q3       <= sign_q2 & ~(subtract_q2 & (sum_q2 == 28'd0));
    nan_q3        <= nan_q2;
    infinite_q3   <= infinite_q2;
    exponent_q3   <= 10'(exponent_q2) + 10'd1 - 10'(left_shift);
    normalized_q3 <= normalized;
  end

  // Stage 4. The sign of an infinite sum is that of its infinite operand, the larger.
  logic [31:0] rounded;

  float_round u_round (
    .sign_i       (sign_q3),
    .exponent_i   (exponent_q3),
    .significand_i(normalized_q3[27:4]),
    .guard_i      (normalized_q3[3]),
    .sticky_i     (|normalized_q3[2:0]),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    sum_o <= rounded;
    if (nan_q3) begin
      sum_o <= float_pkg::CanonicalNan;
    end else if (infinite_q3) begin
      sum_o <= {sign_q3, float_pkg::MaxExponent, 23'd0};
    end
  end

endmodule
