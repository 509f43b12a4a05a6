// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// binary32 to a signed integer of Width bits (2 to 32), ties to even; saturates at both ends, NaN gives 0.
//
// Latency float_pkg::latency(float_pkg::ToInt). Stage 1 shifts the significand to its place, stage 2 rounds, saturates
// and applies the sign.

module float_to_int #(
  parameter int Width = 32
) (
  input  logic             clk_i,
  input  logic [31:0]      float_i,
  output logic [Width-1:0] integer_o
);

  // Exponent of one half, which a shift by 0 leaves just below the binary point: the least that may round to 1.
  localparam logic [7:0] HalfExponent = 8'(float_pkg::ExponentBias - 1);

  // Stage 1.
  logic        sign;
  logic [7:0]  exponent;
  logic [23:0] significand;
  logic        unused_zero;
  logic        infinite;
  logic        nan;

  float_unpack u_unpack (
    .float_i,
    .sign_o       (sign),
    .exponent_o   (exponent),
    .significand_o(significand),
    .zero_o       (unused_zero),
    .infinite_o   (infinite),
    .nan_o        (nan)
  );

  logic             vanished;
  logic             saturated;
  logic [7:0]       shift;
  logic [Width+22:0] shifted;  // Width - 1 bits above the binary point, 24 below

  assign vanished   = nan | (exponent < HalfExponent);
  assign shift   = exponent - HalfExponent;
  assign saturated   = infinite | (~vanished & (shift >= 8'(Width)));
  assign shifted = (Width + 23)'(significand) << shift;

  logic              sign_q;
  logic              vanished_q;
  logic              saturated_q;
  logic [Width+22:0] shifted_q;

  always_ff @(posedge clk_i) begin
    sign_q    <= sign;
    vanished_q   <= vanished;
    saturated_q   <= saturated;
    shifted_q <= shifted;
  end

  // Stage 2. Rounding up may reach 2^(Width - 1), which only a negative integer has.
  logic             round_up;
  logic [Width-1:0] magnitude;

  assign round_up  = shifted_q[23] & (shifted_q[24] | (|shifted_q[22:0]));
  assign magnitude = {1'b0, shifted_q[Width+22:24]} + Width'(round_up);

  always_ff @(posedge clk_i) begin
    if (vanished_q) begin
      integer_o <= '0;
    end else if (saturated_q | magnitude[Width-1]) begin
      integer_o <= {sign_q, {(Width - 1) {~sign_q}}};
    end else begin
      integer_o <= sign_q ? -magnitude : magnitude;
    end
  end

endmodule
