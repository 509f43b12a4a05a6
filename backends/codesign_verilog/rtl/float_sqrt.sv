// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// binary32 square root, ties to even, subnormals in. That of -0 is -0, that of another negative is the canonical NaN.
//
// Latency float_pkg::latency(float_pkg::Sqrt). Stage 1 normalizes and makes the exponent even;
// float_pkg::RecurrenceSteps stages find the root bit by bit; the last rounds. The root of a subnormal is normal, and
// no root overflows.

module float_sqrt (
  input  logic        clk_i,
  input  logic [31:0] a_i,
  output logic [31:0] root_o
);

  localparam int Steps    = float_pkg::RecurrenceSteps;
  localparam int RootBits = Steps * float_pkg::BitsPerStage;

  // Stage 1.
  logic              sign;
  logic       [7:0]  raw_exponent;
  logic       [23:0] raw_significand;
  logic              zero;
  logic              infinite;
  logic              nan;
  logic signed [9:0] exponent;
  logic       [23:0] significand;

  float_unpack u_unpack (
    .float_i      (a_i),
    .sign_o       (sign),
    .exponent_o   (raw_exponent),
    .significand_o(raw_significand),
    .zero_o       (zero),
    .infinite_o   (infinite),
    .nan_o        (nan)
  );

  float_normalize u_normalize (
    .exponent_i   (raw_exponent),
    .significand_i(raw_significand),
    .exponent_o   (exponent),
    .significand_o(significand)
  );

  logic        sign_q;
  logic        zero_q;
  logic        infinite_q;
  logic        nan_q;
  logic [9:0]  double_exponent;
  logic [7:0]  exponent_q;
  logic [25:0] radicand_q;  // in [1, 4), two integer bits

  // The bias is odd: an odd biased exponent is an even power of two.
  assign double_exponent =
      $unsigned(exponent) + 10'(float_pkg::ExponentBias - 1) + 10'(exponent[0]);

  always_ff @(posedge clk_i) begin
    sign_q     <= sign;
    zero_q     <= zero;
    infinite_q <= infinite & ~sign;
    nan_q      <= nan | (sign & ~zero);
    exponent_q <= double_exponent[8:1];
    radicand_q <= exponent[0] ? {1'b0, significand, 1'b0} : {significand, 2'd0};
  end

  logic unused_double_exponent;
  assign unused_double_exponent = double_exponent[9] ^ double_exponent[0];

  // Wires between the stages, stage 0 first.
  logic [(Steps+1)*26-1:0]           radicands;
  logic [(Steps+1)*(RootBits+1)-1:0] remainders;
  logic [(Steps+1)*RootBits-1:0]     roots;

  assign radicands[25:0]         = radicand_q;
  assign remainders[RootBits:0]  = '0;
  assign roots[RootBits-1:0]     = '0;

  for (genvar step = 0; step < Steps; step++) begin : gen_stage
    sqrt_stage #(
      .Bits    (float_pkg::BitsPerStage),
      .RootBits(RootBits)
    ) u_stage (
      .clk_i,
      .radicand_i (radicands[step*26+:26]),
      .remainder_i(remainders[step*(RootBits+1)+:RootBits+1]),
      .root_i     (roots[step*RootBits+:RootBits]),
      .radicand_o (radicands[(step+1)*26+:26]),
      .remainder_o(remainders[(step+1)*(RootBits+1)+:RootBits+1]),
      .root_o     (roots[(step+1)*RootBits+:RootBits])
    );
  end

  logic       last_sign;
  logic       last_zero;
  logic       last_infinite;
  logic       last_nan;
  logic [7:0] last_exponent;

  delay_line #(
    .Width (12),
    .Cycles(Steps)
  ) u_delay (
    .clk_i,
    .rst_ni(1'b1),
    .data_i({sign_q, zero_q, infinite_q, nan_q, exponent_q}),
    .data_o({last_sign, last_zero, last_infinite, last_nan, last_exponent})
  );

  // Rounding.
  logic [RootBits-1:0] root;
  logic                inexact;
  logic [31:0]         rounded;
  logic                unused_last_radicand;

  assign root                 = roots[Steps*RootBits+:RootBits];
  assign inexact              = remainders[Steps*(RootBits+1)+:RootBits+1] != '0;
  assign unused_last_radicand = ^radicands[Steps*26+:26];

  float_round u_round (
    .sign_i       (1'b0),
    .exponent_i   (10'(last_exponent)),
    .significand_i(root[RootBits-1-:24]),
    .guard_i      (root[RootBits-25]),
    .sticky_i     (inexact | (|root[RootBits-26:0])),
    .float_o      (rounded)
  );

  always_ff @(posedge clk_i) begin
    root_o <= rounded;
    if (last_nan) begin
      root_o <= float_pkg::CanonicalNan;
    end else if (last_infinite) begin
      root_o <= {1'b0, float_pkg::MaxExponent, 23'd0};
    end else if (last_zero) begin
      root_o <= {last_sign, 31'd0};
    end
  end

endmodule
