// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// e^x of a binary32, bit for bit as docs/arithmetic.md states it: integer arithmetic, one rounding at the end.
//
// Latency float_pkg::latency(float_pkg::Exp). Stages 1 and 2 find the result's logarithm to base 2: an octave, a step
// of 1/64 octave and the rest of a step. Stages 3 to 6 make 2^step * (1 + growth), by a table and a quadratic in the
// rest; stage 7 moves it to its octave, stage 8 rounds.

module float_exp (
  input  logic        clk_i,
  input  logic [31:0] x_i,
  output logic [31:0] exp_o
);

  // Arguments beyond the ends, which the stages below do not serve.
  logic        sign;
  logic [7:0]  exponent;
  logic [23:0] significand;
  logic        nan;
  logic        unused_zero;
  logic        unused_infinite;
  logic        below;
  logic        above;

  float_unpack u_unpack (
    .float_i      (x_i),
    .sign_o       (sign),
    .exponent_o   (exponent),
    .significand_o(significand),
    .zero_o       (unused_zero),
    .infinite_o   (unused_infinite),
    .nan_o        (nan)
  );

  assign below = sign & ~nan & (x_i[30:0] >= 31'(exp_pkg::Lowest));
  assign above = ~sign & ~nan & (x_i[30:0] >= 31'(exp_pkg::Highest));

  logic last_nan;
  logic last_below;
  logic last_above;

  delay_line #(
    .Width (3),
    .Cycles(float_pkg::latency(float_pkg::Exp) - 1)
  ) u_delay (
    .clk_i,
    .rst_ni(1'b1),
    .data_i({nan, below, above}),
    .data_o({last_nan, last_below, last_above})
  );

  // Stage 1. |x| is less than 128, so that the low 22 bits of the product are below the last of 30 fraction bits.
  localparam logic [7:0] UnshiftedExponent = 8'd133;

  logic [59:0] product;
  logic [21:0] unused_product;
  logic        sign_q;
  logic [7:0]  shift_q;
  logic [37:0] product_q;

  assign product        = 60'(significand) * 60'(exp_pkg::Log2E);
  assign unused_product = product[21:0];

  always_ff @(posedge clk_i) begin
    sign_q    <= sign;
    shift_q   <= UnshiftedExponent - exponent;
    product_q <= product[59:22];
  end

  // Stage 2.
  logic [38:0] magnitude;
  logic [8:0]  octave_q2;
  logic [5:0]  step_q2;
  logic [23:0] rest_q2;

  assign magnitude = {1'b0, product_q >> shift_q};

  always_ff @(posedge clk_i) begin
    {octave_q2, step_q2, rest_q2} <= sign_q ? -magnitude : magnitude;
  end

  // Stage 3. The square of the rest matters less, and takes its upper 16 bits.
  logic [45:0] linear;
  logic [21:0] unused_linear;
  logic [31:0] square;
  logic [15:0] unused_square;
  logic [8:0]  octave_q3;
  logic [30:0] power_q3;
  logic [23:0] linear_q3;
  logic [15:0] square_q3;

  assign linear        = 46'(rest_q2) * 46'(exp_pkg::Linear);
  assign unused_linear = linear[21:0];
  assign square        = 32'(rest_q2[23:8]) * 32'(rest_q2[23:8]);
  assign unused_square = square[15:0];

  always_ff @(posedge clk_i) begin
    octave_q3 <= octave_q2;
    power_q3  <= exp_pkg::power(step_q2);
    linear_q3 <= linear[45:22];
    square_q3 <= square[31:16];
  end

  // Stage 4. The growth over a step is below 2^-6, at 30 fraction bits.
  logic [29:0] quadratic;
  logic [13:0] unused_quadratic;
  logic [8:0]  octave_q4;
  logic [30:0] power_q4;
  logic [23:0] growth_q4;

  assign quadratic        = 30'(square_q3) * 30'(exp_pkg::Quadratic);
  assign unused_quadratic = quadratic[13:0];

  always_ff @(posedge clk_i) begin
    octave_q4 <= octave_q3;
    power_q4  <= power_q3;
    growth_q4 <= linear_q3 + 24'(quadratic[29:14]);
  end

  // Stage 5.
  logic [47:0] increase;
  logic [22:0] unused_increase;
  logic [8:0]  octave_q5;
  logic [30:0] power_q5;
  logic [24:0] increase_q5;

  assign increase        = 48'(power_q4[30:7]) * 48'(growth_q4);
  assign unused_increase = increase[22:0];

  always_ff @(posedge clk_i) begin
    octave_q5   <= octave_q4;
    power_q5    <= power_q4;
    increase_q5 <= increase[47:23];
  end

  // Stage 6.
  logic [8:0]  octave_q6;
  logic [30:0] mantissa_q6;

  always_ff @(posedge clk_i) begin
    octave_q6   <= octave_q5;
    mantissa_q6 <= power_q5 + 31'(increase_q5);
  end

  // Stage 7. The mantissa is below 2, at 30 fraction bits.
  logic [9:0]  aligned_exponent;
  logic [23:0] aligned;
  logic        guard;
  logic        sticky;

  float_denormalize u_denormalize (
    .exponent_i   (10'($signed(octave_q6)) + 10'sd127),
    .significand_i(mantissa_q6[30:6]),
    .sticky_i     (|mantissa_q6[5:0]),
    .exponent_o   (aligned_exponent),
    .significand_o(aligned),
    .guard_o      (guard),
    .sticky_o     (sticky)
  );

  logic [9:0]  exponent_q7;
  logic [23:0] significand_q7;
  logic        guard_q7;
  logic        sticky_q7;

  always_ff @(posedge clk_i) begin
    exponent_q7    <= aligned_exponent;
    significand_q7 <= aligned;
    guard_q7       <= guard;
    sticky_q7      <= sticky;
  end

  // Stage 8.
  logic [31:0] rounded;

  float_round u_round (
    .sign_i       (1'b0),
    .exponent_i   (exponent_q7),
    .significand_i(significand_q7),
    .guard_i      (guard_q7),
    .sticky_i     (sticky_q7),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    exp_o <= rounded;
    if (last_nan) begin
      exp_o <= float_pkg::CanonicalNan;
    end else if (last_below) begin
      exp_o <= '0;
    end else if (last_above) begin
      exp_o <= {1'b0, float_pkg::MaxExponent, 23'd0};
    end
  end

endmodule
