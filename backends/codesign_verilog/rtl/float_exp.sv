// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// e^x of a binary32 as docs/arithmetic.md states it: the same operations in the same order.
//
// Latency float_pkg::latency(float_pkg::Exp). The argument is reduced to step * ln(2) / 64 + rest, the result made of a table
// of 2^(j / 64), a polynomial in the rest, and a last move to the exponent, rounded once where it is subnormal.

module float_exp (
  input  logic        clk_i,
  input  logic [31:0] x_i,
  output logic [31:0] exp_o
);

  localparam int Multiply = float_pkg::FloatMultiplyLatency;
  localparam int Add      = float_pkg::latency(float_pkg::Add);
  localparam int Count    = float_pkg::latency(float_pkg::ToInt) + float_pkg::IntToFloatLatency;

  localparam int StepBits = 15;

  // Arguments that the table does not serve. A NaN is neither.
  logic nan;
  logic zero;
  logic infinite;
  logic last_nan;
  logic last_zero;
  logic last_infinite;

  assign nan      = float_pkg::is_nan(x_i[30:0]);
  assign zero     = x_i[31] & ~nan & (x_i[30:0] >= 31'(exp_pkg::Lowest));
  assign infinite = ~x_i[31] & ~nan & (x_i[30:0] >= 31'(exp_pkg::Highest));

  data_delay #(
    .Width (3),
    .Cycles(float_pkg::latency(float_pkg::Exp) - 1)
  ) u_special_delay (
    .clk_i,
    .data_i({nan, zero, infinite}),
    .data_o({last_nan, last_zero, last_infinite})
  );

  // step = round(x * 64 / ln 2), as an integer and as a float.
  logic [31:0]         steps;
  logic [StepBits-1:0] step;
  logic [31:0]         count;

  float_multiply u_steps (
    .clk_i,
    .a_i      (x_i),
    .b_i      (exp_pkg::StepsPerUnit),
    .product_o(steps)
  );

  float_to_int #(.Width(StepBits)) u_step (
    .clk_i,
    .float_i  (steps),
    .integer_o(step)
  );

  int_to_float u_count (
    .clk_i,
    .integer_i({{(32 - StepBits) {step[StepBits-1]}}, step}),
    .float_o  (count)
  );

  // rest = (x - step * high) - step * low; the first product and difference are exact.
  logic [31:0] x;
  logic [31:0] high;
  logic [31:0] low;
  logic [31:0] low_delayed;
  logic [31:0] partial_rest;
  logic [31:0] rest;

  data_delay #(
    .Width (32),
    .Cycles(2 * Multiply + Count)
  ) u_x_delay (
    .clk_i,
    .data_i(x_i),
    .data_o(x)
  );

  float_multiply u_high (
    .clk_i,
    .a_i      (count),
    .b_i      (exp_pkg::StepHigh),
    .product_o(high)
  );

  float_multiply u_low (
    .clk_i,
    .a_i      (count),
    .b_i      (exp_pkg::StepLow),
    .product_o(low)
  );

  float_add u_partial_rest (
    .clk_i,
    .a_i  (x),
    .b_i  ({~high[31], high[30:0]}),
    .sum_o(partial_rest)
  );

  data_delay #(
    .Width (32),
    .Cycles(Add)
  ) u_low_delay (
    .clk_i,
    .data_i(low),
    .data_o(low_delayed)
  );

  float_add u_rest (
    .clk_i,
    .a_i  (partial_rest),
    .b_i  ({~low_delayed[31], low_delayed[30:0]}),
    .sum_o(rest)
  );

  // e^rest - 1 = (rest * quadratic + linear) * rest.
  logic [31:0] quadratic;
  logic [31:0] slope;
  logic [31:0] rest_delayed;
  logic [31:0] minus_one;

  float_multiply u_quadratic (
    .clk_i,
    .a_i      (rest),
    .b_i      (exp_pkg::Quadratic),
    .product_o(quadratic)
  );

  float_add u_slope (
    .clk_i,
    .a_i  (quadratic),
    .b_i  (exp_pkg::Linear),
    .sum_o(slope)
  );

  data_delay #(
    .Width (32),
    .Cycles(Multiply + Add)
  ) u_rest_delay (
    .clk_i,
    .data_i(rest),
    .data_o(rest_delayed)
  );

  float_multiply u_minus_one (
    .clk_i,
    .a_i      (slope),
    .b_i      (rest_delayed),
    .product_o(minus_one)
  );

  // power * e^rest = power + power * (e^rest - 1), power from the table.
  logic [StepBits-1:0] step_delayed;
  logic [31:0]         power;
  logic [31:0]         power_delayed;
  logic [31:0]         correction;
  logic [31:0]         mantissa;

  data_delay #(
    .Width (StepBits),
    .Cycles(float_pkg::IntToFloatLatency + 3 * Multiply + 3 * Add)
  ) u_step_delay (
    .clk_i,
    .data_i(step),
    .data_o(step_delayed)
  );

  assign power = exp_pkg::power(step_delayed[5:0]);

  float_multiply u_correction (
    .clk_i,
    .a_i      (power),
    .b_i      (minus_one),
    .product_o(correction)
  );

  data_delay #(
    .Width (32),
    .Cycles(Multiply)
  ) u_power_delay (
    .clk_i,
    .data_i(power),
    .data_o(power_delayed)
  );

  float_add u_mantissa (
    .clk_i,
    .a_i  (power_delayed),
    .b_i  (correction),
    .sum_o(mantissa)
  );

  // The mantissa, positive and near 1 to 2, goes to its exponent.
  logic [StepBits-7:0] exponent;
  logic [9:0]          aligned_exponent;
  logic [23:0]         aligned;
  logic                guard;
  logic                sticky;
  logic                unused_sign;

  data_delay #(
    .Width (StepBits - 6),
    .Cycles(Multiply + Add)
  ) u_exponent_delay (
    .clk_i,
    .data_i(step_delayed[StepBits-1:6]),
    .data_o(exponent)
  );

  assign unused_sign = mantissa[31];

  float_denormalize u_denormalize (
    .exponent_i   ($signed({2'd0, mantissa[30:23]}) + 10'($signed(exponent))),
    .significand_i({1'b1, mantissa[22:0], 1'b0}),
    .sticky_i     (1'b0),
    .exponent_o   (aligned_exponent),
    .significand_o(aligned),
    .guard_o      (guard),
    .sticky_o     (sticky)
  );

  logic [9:0]  exponent_q;
  logic [23:0] significand_q;
  logic        guard_q;
  logic        sticky_q;

  always_ff @(posedge clk_i) begin
    exponent_q    <= aligned_exponent;
    significand_q <= aligned;
    guard_q       <= guard;
    sticky_q      <= sticky;
  end

  logic [31:0] rounded;

  float_round u_round (
    .sign_i       (1'b0),
    .exponent_i   (exponent_q),
    .significand_i(significand_q),
    .guard_i      (guard_q),
    .sticky_i     (sticky_q),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    exp_o <= rounded;
    if (last_nan) begin
      exp_o <= float_pkg::CanonicalNan;
    end else if (last_zero) begin
      exp_o <= '0;
    end else if (last_infinite) begin
      exp_o <= {1'b0, float_pkg::MaxExponent, 23'd0};
    end
  end

endmodule
