// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One lane of the vector unit: the functions of a lane by itself, and the choice of the result.
//
// The sums and maxima come from vector_combine; exp is of sum_i, the difference of a and b. keep_i, false in the lanes
// behind a row's end, stands with the results; result_o follows a cycle later. The clocks are one clock, at rest when
// nobody needs what it drives.

module vector_lane (
  input  logic        data_clk_i,
  input  logic        multiply_clk_i,
  input  logic        divide_clk_i,
  input  logic        exp_clk_i,
  input  logic        sqrt_clk_i,
  input  logic [3:0]  function_i,
  input  logic        keep_i,
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  input  logic [31:0] sum_i,
  input  logic [31:0] maximum_i,
  input  logic [31:0] row_sum_i,
  input  logic [31:0] row_maximum_i,
  output logic [31:0] product_o,
  output logic [31:0] result_o
);

  logic [31:0] quotient;
  logic [31:0] power;
  logic [31:0] root;
  logic [31:0] result;

  float_multiply u_multiply (
    .clk_i    (multiply_clk_i),
    .a_i,
    .b_i,
    .product_o
  );

  float_divide u_divide (
    .clk_i     (divide_clk_i),
    .a_i,
    .b_i,
    .quotient_o(quotient)
  );

  float_exp u_exp (
    .clk_i(exp_clk_i),
    .x_i  (sum_i),
    .exp_o(power)
  );

  float_sqrt u_sqrt (
    .clk_i (sqrt_clk_i),
    .a_i,
    .root_o(root)
  );

  always_comb begin
    case (function_i)
      vector_pkg::Multiply:                       result = product_o;
      vector_pkg::Divide, vector_pkg::Reciprocal: result = quotient;
      vector_pkg::Maximum:                        result = maximum_i;
      vector_pkg::Exp:                            result = power;
      vector_pkg::SquareRoot:                     result = root;
      vector_pkg::ReduceSum:                      result = row_sum_i;
      vector_pkg::ReduceMaximum:                  result = row_maximum_i;
      default:                                    result = sum_i;
    endcase
  end

  always_ff @(posedge data_clk_i) begin
    result_o <= keep_i ? result : 32'd0;
  end

endmodule
