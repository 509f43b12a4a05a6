// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// binary32 quotient a / b, ties to even, subnormals in and out, infinities, one canonical NaN.
//
// Latency float_pkg::latency(float_pkg::Divide). Stage 1 normalizes both significands; float_pkg::RecurrenceSteps
// stages find the quotient bit by bit; one stage moves it to its exponent, the last rounds.

module float_divide (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  output logic [31:0] quotient_o
);

  localparam int Steps        = float_pkg::RecurrenceSteps;
  localparam int QuotientBits = Steps * float_pkg::BitsPerStage;

  // Stage 1.
  logic              a_sign, b_sign;
  logic       [7:0]  a_raw_exponent, b_raw_exponent;
  logic       [23:0] a_raw_significand, b_raw_significand;
  logic              a_zero, b_zero;
  logic              a_infinite, b_infinite;
  logic              a_nan, b_nan;
  logic signed [9:0] a_exponent, b_exponent;
  logic       [23:0] a_significand, b_significand;

  float_unpack u_unpack_a (
    .float_i      (a_i),
    .sign_o       (a_sign),
    .exponent_o   (a_raw_exponent),
    .significand_o(a_raw_significand),
    .zero_o       (a_zero),
    .infinite_o   (a_infinite),
    .nan_o        (a_nan)
  );

  float_unpack u_unpack_b (
    .float_i      (b_i),
    .sign_o       (b_sign),
    .exponent_o   (b_raw_exponent),
    .significand_o(b_raw_significand),
    .zero_o       (b_zero),
    .infinite_o   (b_infinite),
    .nan_o        (b_nan)
  );

  float_normalize u_normalize_a (
    .exponent_i   (a_raw_exponent),
    .significand_i(a_raw_significand),
    .exponent_o   (a_exponent),
    .significand_o(a_significand)
  );

  float_normalize u_normalize_b (
    .exponent_i   (b_raw_exponent),
    .significand_i(b_raw_significand),
    .exponent_o   (b_exponent),
    .significand_o(b_significand)
  );

  logic              sign_q;
  logic              nan_q;
  logic              infinite_q;
  logic              zero_q;
  logic signed [9:0] exponent_q;  // biased exponent of the quotient's first bit

  // Wires between the stages, stage 0 first.
  logic [(Steps+1)*24-1:0]           divisors;
  logic [(Steps+1)*25-1:0]           remainders;
  logic [(Steps+1)*QuotientBits-1:0] quotients;

  logic [23:0] dividend_q;
  logic [23:0] divisor_q;

  always_ff @(posedge clk_i) begin
    sign_q     <= a_sign ^ b_sign;
    nan_q      <= a_nan | b_nan | (a_zero & b_zero) | (a_infinite & b_infinite);
    infinite_q <= a_infinite | b_zero;
    zero_q     <= a_zero | b_infinite;
    exponent_q <= a_exponent - b_exponent + 10'sd127;
    dividend_q <= a_significand;
    divisor_q  <= b_significand;
  end

  // The quotient, from both significands in [1, 2), is in (1/2, 2): its first bit is the integer bit.
  assign divisors[23:0]                = divisor_q;
  assign remainders[24:0]              = {1'b0, dividend_q};
  assign quotients[QuotientBits-1:0]   = '0;

  for (genvar step = 0; step < Steps; step++) begin : gen_stage
    divide_stage #(
      .Bits        (float_pkg::BitsPerStage),
      .QuotientBits(QuotientBits)
    ) u_stage (
      .clk_i,
      .divisor_i  (divisors[step*24+:24]),
      .remainder_i(remainders[step*25+:25]),
      .quotient_i (quotients[step*QuotientBits+:QuotientBits]),
      .divisor_o  (divisors[(step+1)*24+:24]),
      .remainder_o(remainders[(step+1)*25+:25]),
      .quotient_o (quotients[(step+1)*QuotientBits+:QuotientBits])
    );
  end

  logic              sign;
  logic              nan;
  logic              infinite;
  logic              zero;
  logic signed [9:0] exponent;

  delay_line #(
    .Width (14),
    .Cycles(Steps)
  ) u_delay (
    .clk_i,
    .rst_ni(1'b1),
    .data_i({sign_q, nan_q, infinite_q, zero_q, exponent_q}),
    .data_o({sign, nan, infinite, zero, exponent})
  );

  // To its exponent.
  logic [QuotientBits-1:0] quotient;
  logic [QuotientBits-1:0] normalized;
  logic                    inexact;
  logic [9:0]              aligned_exponent;
  logic [23:0]             aligned;
  logic                    guard;
  logic                    sticky;
  logic                    unused_last_divisor;

  assign quotient            = quotients[Steps*QuotientBits+:QuotientBits];
  assign normalized          =
      quotient[QuotientBits-1] ? quotient : {quotient[QuotientBits-2:0], 1'b0};
  assign inexact             = remainders[Steps*25+:25] != 25'd0;
  assign unused_last_divisor = ^divisors[Steps*24+:24];

  float_denormalize u_denormalize (
    .exponent_i   (quotient[QuotientBits-1] ? exponent : exponent - 10'sd1),
    .significand_i(normalized[QuotientBits-1-:25]),
    .sticky_i     (inexact | (|normalized[QuotientBits-26:0])),
    .exponent_o   (aligned_exponent),
    .significand_o(aligned),
    .guard_o      (guard),
    .sticky_o     (sticky)
  );

  logic        sign_q2;
  logic        nan_q2;
  logic        infinite_q2;
  logic        zero_q2;
  logic [9:0]  exponent_q2;
  logic [23:0] significand_q2;
  logic        guard_q2;
  logic        sticky_q2;

  always_ff @(posedge clk_i) begin
    sign_q2        <= sign;
    nan_q2         <= nan;
    infinite_q2    <= infinite;
    zero_q2        <= zero;
    exponent_q2    <= aligned_exponent;
    significand_q2 <= aligned;
    guard_q2       <= guard;
    sticky_q2      <= sticky;
  end

  // Rounding.
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
    quotient_o <= rounded;
    if (nan_q2) begin
      quotient_o <= float_pkg::CanonicalNan;
    end else if (infinite_q2) begin
      quotient_o <= {sign_q2, float_pkg::MaxExponent, 23'd0};
    end else if (zero_q2) begin
      quotient_o <= {sign_q2, 31'd0};
    end
  end

endmodule
