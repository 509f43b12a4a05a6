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

  // Stage 1. A subnormal has exponent 1 and no implicit one, so it needs no case of its own.
  logic a_normal, b_normal;
  logic a_special, b_special;
  logic a_nan, b_nan;
  logic a_zero, b_zero;
  logic [7:0] a_exponent, b_exponent;

  assign a_normal   = a_i[30:23] != 8'd0;
  assign b_normal   = b_i[30:23] != 8'd0;
  assign a_special  = a_i[30:23] == float_pkg::MaxExponent;
  assign b_special  = b_i[30:23] == float_pkg::MaxExponent;
  assign a_nan      = a_special & (a_i[22:0] != 23'd0);
  assign b_nan      = b_special & (b_i[22:0] != 23'd0);
  assign a_zero     = a_i[30:0] == 31'd0;
  assign b_zero     = b_i[30:0] == 31'd0;
  assign a_exponent = a_normal ? a_i[30:23] : 8'd1;
  assign b_exponent = b_normal ? b_i[30:23] : 8'd1;

  logic               sign_q;
  logic               nan_q;
  logic               infinite_q;
  logic signed [9:0]  exponent_q;  // biased exponent of product bit 46
  logic        [47:0] product_q;

  always_ff @(posedge clk_i) begin
    sign_q     <= a_i[31] ^ b_i[31];
    nan_q      <= a_nan | b_nan | (a_special & b_zero) | (b_special & a_zero);
    infinite_q <= a_special | b_special;
    exponent_q <= $signed(10'(a_exponent) + 10'(b_exponent) - 10'(float_pkg::ExponentBias));
    product_q  <= 48'({a_normal, a_i[22:0]}) * 48'({b_normal, b_i[22:0]});
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
