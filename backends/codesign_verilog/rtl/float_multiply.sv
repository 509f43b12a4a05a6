// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// binary32 product, ties to even, subnormals in and out, infinities, one canonical NaN.
//
// Latency float_pkg::FloatMultiplyLatency. Stage 1 multiplies the significands, stage 2 aligns the product to its
// exponent (to the subnormal range when it falls below), stage 3 rounds.

module float_multiply (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] product_o
);

  // Stage 1. A subnormal needs no case of its own: it is not normalized.
  logic        a_sign, b_sign;
  logic [7:0]  a_exponent, b_exponent;
  logic [23:0] a_significand, b_significand;
  logic        a_zero, b_zero;
  logic        a_infinite, b_infinite;
  logic        a_nan, b_nan;

  float_unpack u_unpack_a (
    .float_i      (a_i),
    .sign_o       (a_sign),
    .exponent_o   (a_exponent),
    .significand_o(a_significand),
    .zero_o       (a_zero),
    .infinite_o   (a_infinite),
    .nan_o        (a_nan)
  );

  float_unpack u_unpack_b (
    .float_i      (b_i),
    .sign_o       (b_sign),
    .exponent_o   (b_exponent),
    .significand_o(b_significand),
    .zero_o       (b_zero),
    .infinite_o   (b_infinite),
    .nan_o        (b_nan)
  );

  logic               sign_q;
  logic               nan_q;
  logic               infinite_q;
  logic signed [9:0]  exponent_q;  // biased exponent of product bit 46
  logic        [47:0] product_q;

  always_ff @(posedge clk_i) begin
    sign_q     <= a_sign ^ b_sign;
    nan_q      <= a_nan | b_nan | (a_infinite & b_zero) | (b_infinite & a_zero);
    infinite_q <= a_infinite | b_infinite;
    exponent_q <= $signed(10'(a_exponent) + 10'(b_exponent) - 10'(float_pkg::ExponentBias));
    product_q  <= 48'(a_significand) * 48'(b_significand);
  end

  // Stage 2. Shifting left stops where the exponent reaches 1; below that the shift is to the right. A right shift of
  // 25 already leaves nothing above the sticky bits.
  localparam int MaxRightShift = 25;

  logic [5:0]                    zeros;
  logic [9:0]                    left_shift;
  logic [9:0]                    right_shift;
  logic [9:0]                    exponent;
  logic [47+MaxRightShift:0]     aligned;

  leading_zeros #(.Width(48)) u_leading_zeros (
    .value_i(product_q),
    .count_o(zeros)
  );

  always_comb begin
    left_shift  = '0;
    right_shift = '0;
    if (exponent_q >= 0) begin
      left_shift = (10'(zeros) < $unsigned(exponent_q)) ? 10'(zeros) : $unsigned(exponent_q);
    end else begin
      right_shift = (exponent_q < -10'sd25) ? 10'(MaxRightShift) : 10'd0 - $unsigned(exponent_q);
    end
    exponent = (exponent_q >= 0) ? $unsigned(exponent_q) + 10'd1 - left_shift : 10'd1;
    aligned  = ({product_q, {MaxRightShift{1'b0}}} << left_shift) >> right_shift;
  end

  logic        sign_q2;
  logic        nan_q2;
  logic        infinite_q2;
  logic [9:0]  exponent_q2;
  logic [23:0] significand_q2;
  logic        guard_q2;
  logic        sticky_q2;

  always_ff @(posedge clk_i) begin
    sign_q2        <= sign_q;
    nan_q2         <= nan_q;
    infinite_q2    <= infinite_q;
    exponent_q2    <= exponent;
    significand_q2 <= aligned[47+MaxRightShift-:24];
    guard_q2       <= aligned[23+MaxRightShift];
    sticky_q2      <= |aligned[22+MaxRightShift:0];
  end

  // Stage 3.
  logic [31:0] rounded;

  float_round u_round (
    .sign_i       (sign_q2),
    .exponent_i   (exponent_q2),
    .significand_i(significand_q2),
    .guard_i      (guard_q2),
    .sticky_i     (sticky_q2),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    product_o <= rounded;
    if (nan_q2) begin
      product_o <= float_pkg::CanonicalNan;
    end else if (infinite_q2) begin
      product_o <= {sign_q2, float_pkg::MaxExponent, 23'd0};
    end
  end

endmodule
