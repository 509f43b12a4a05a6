// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Drains finished sums: (float(sum) * weight scale) * activation scale, each product rounded, ResultsPerCycle a cycle.
//
// The Lanes sums of one token leave in Groups = Lanes / ResultsPerCycle groups, group g to word result_i + g, scaled
// by word weight_scale_i + g of the weight scales (one a row) and by the one activation scale of the token. Up to
// Tokens finished tokens wait in a queue; the sequencer finishes no token that would not fit, so nothing is lost.
// A group is written float_pkg::IntToFloatLatency + 2 * float_pkg::FloatMultiplyLatency cycles after it leaves.

module dequantizer #(
  parameter int Lanes               = 32,
  parameter int Tokens              = 8,
  parameter int ResultsPerCycle     = 4,
  parameter int WeightScaleBits     = 10,
  parameter int ActivationScaleBits = 4,
  parameter int ResultBits          = 12
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  // Finished sums of one token and row tile, with where they go.
  input  logic                           valid_i,
  input  logic [Lanes*32-1:0]            sums_i,
  input  logic [WeightScaleBits-1:0]     weight_scale_i,
  input  logic [ActivationScaleBits-1:0] activation_scale_i,
  input  logic [ResultBits-1:0]          result_i,
  // Scale memories.
  output logic                           weight_scale_read_o,
  output logic [WeightScaleBits-1:0]     weight_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  weight_scale_data_i,
  output logic                           activation_scale_read_o,
  output logic [ActivationScaleBits-1:0] activation_scale_address_o,
  input  logic [31:0]                    activation_scale_data_i,
  // Result memory.
  output logic                           result_write_o,
  output logic [ResultBits-1:0]          result_address_o,
  output logic [ResultsPerCycle*32-1:0]  result_data_o
);

  localparam int Groups         = Lanes / ResultsPerCycle;
  localparam int GroupIndexBits = (Groups > 1) ? $clog2(Groups) : 1;
  localparam int GroupBits      = ResultsPerCycle * 32;

  // Queue of finished tokens.
  logic                           head_valid;
  logic                           head_done;
  logic [Lanes*32-1:0]            head_sums;
  logic [WeightScaleBits-1:0]     head_weight_scale;
  logic [ActivationScaleBits-1:0] head_activation_scale;
  logic [ResultBits-1:0]          head_result;
  logic                           unused_write_ready;

  fifo #(
    .Depth(Tokens),
    .Width(ResultBits + ActivationScaleBits + WeightScaleBits + Lanes * 32)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .write_valid_i(valid_i),
    .write_ready_o(unused_write_ready),
    .write_data_i ({result_i, activation_scale_i, weight_scale_i, sums_i}),
    .read_valid_o (head_valid),
    .read_ready_i (head_done),
    .read_data_o  ({head_result, head_activation_scale, head_weight_scale, head_sums})
  );

  // One group a cycle.
  logic [GroupIndexBits-1:0] group_q;
  logic [GroupBits-1:0]      group_sums;

  assign head_done = group_q == GroupIndexBits'(Groups - 1);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      group_q <= '0;
    end else if (head_valid) begin
      group_q <= head_done ? '0 : group_q + 1'b1;
    end
  end

  if (Groups == 1) begin : gen_one_group
    assign group_sums = head_sums;
  end else begin : gen_groups
    assign group_sums = head_sums[group_q*GroupBits+:GroupBits];
  end

  // Scales are read one cycle before the multiplier that needs them.
  delay_line #(
    .Width (1 + WeightScaleBits),
    .Cycles(float_pkg::IntToFloatLatency - 1)
  ) u_weight_scale_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid, head_weight_scale + WeightScaleBits'(group_q)}),
    .data_o({weight_scale_read_o, weight_scale_address_o})
  );

  delay_line #(
    .Width (1 + ActivationScaleBits),
    .Cycles(float_pkg::IntToFloatLatency + float_pkg::FloatMultiplyLatency - 1)
  ) u_activation_scale_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid, head_activation_scale}),
    .data_o({activation_scale_read_o, activation_scale_address_o})
  );

  delay_line #(
    .Width (1 + ResultBits),
    .Cycles(float_pkg::IntToFloatLatency + 2 * float_pkg::FloatMultiplyLatency)
  ) u_result_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid, head_result + ResultBits'(group_q)}),
    .data_o({result_write_o, result_address_o})
  );

  for (genvar i = 0; i < ResultsPerCycle; i++) begin : gen_result
    logic [31:0] float_sum;
    logic [31:0] weight_scaled;

    int_to_float u_int_to_float (
      .clk_i,
      .integer_i(group_sums[i*32+:32]),
      .float_o  (float_sum)
    );

    float_multiply u_weight_scale (
      .clk_i,
      .a_i      (float_sum),
      .b_i      (weight_scale_data_i[i*32+:32]),
      .product_o(weight_scaled)
    );

    float_multiply u_activation_scale (
      .clk_i,
      .a_i      (weight_scaled),
      .b_i      (activation_scale_data_i),
      .product_o(result_data_o[i*32+:32])
    );
  end

endmodule
