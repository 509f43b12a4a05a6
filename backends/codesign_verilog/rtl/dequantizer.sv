// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Drains finished sums: (float(sum) * weight scale) * activation scale, each product rounded, ResultsPerCycle a cycle.
//
// The Lanes sums of one token leave in Groups = Lanes / ResultsPerCycle groups, group g to word result_i + g, scaled
// by word weight_scale_i + g of the source's weight scales (one a row; 1 for values) and by the one activation scale of
// the token. Up to Tokens finished tokens wait in a queue; the sequencer finishes no token that would not fit, so
// nothing is lost. A group is written float_pkg::IntToFloatLatency + 2 * float_pkg::FloatMultiplyLatency cycles after
// it leaves; done_o stands with the last one of a command.
//
// With BlockScales the sums are those of a block, whose products with the weight scales are added up (block_sum) before
// they meet the activation scale; that takes an addition longer, and the groups of the last block alone are written. A
// token's group comes around every Groups cycles at the earliest, which must be longer than the addition.

module dequantizer #(
  parameter  int Lanes               = 32,
  parameter  int Tokens              = 8,
  parameter  int ResultsPerCycle     = 4,
  parameter  int BlockScales         = 0,
  parameter  int WeightScaleBits     = 10,
  parameter  int KeyScaleBits        = 10,
  parameter  int ActivationScaleBits = 4,
  parameter  int ResultBits          = 12,
  localparam int ScaleBits           =
      (WeightScaleBits > KeyScaleBits) ? WeightScaleBits : KeyScaleBits,
  localparam int TokenIndexBits      = (Tokens > 1) ? $clog2(Tokens) : 1
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  // Finished sums of one token and row tile or block of it, with where they go.
  input  logic                           valid_i,
  input  logic                           final_i,  // of a command
  input  logic                           first_block_i,
  input  logic                           last_block_i,
  input  logic [TokenIndexBits-1:0]      token_i,
  input  logic [Lanes*32-1:0]            sums_i,
  input  logic [1:0]                     source_i,
  input  logic [ScaleBits-1:0]           weight_scale_i,
  input  logic [ActivationScaleBits-1:0] activation_scale_i,
  input  logic [ResultBits-1:0]          result_i,
  // Scale memories.
  output logic                           weight_scale_read_o,
  output logic [WeightScaleBits-1:0]     weight_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  weight_scale_data_i,
  output logic                           key_scale_read_o,
  output logic [KeyScaleBits-1:0]        key_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  key_scale_data_i,
  output logic                           activation_scale_read_o,
  output logic [ActivationScaleBits-1:0] activation_scale_address_o,
  input  logic [31:0]                    activation_scale_data_i,
  // Result memory.
  output logic                           done_o,
  output logic                           result_write_o,
  output logic [ResultBits-1:0]          result_address_o,
  output logic [ResultsPerCycle*32-1:0]  result_data_o
);

  localparam int Groups         = Lanes / ResultsPerCycle;
  localparam int GroupIndexBits = (Groups > 1) ? $clog2(Groups) : 1;
  localparam int GroupBits      = ResultsPerCycle * 32;
  localparam int ScaledLatency  = float_pkg::IntToFloatLatency + float_pkg::FloatMultiplyLatency;
  localparam int SumLatency     =
      ScaledLatency + ((BlockScales != 0) ? float_pkg::latency(float_pkg::Add) : 0);

  localparam logic [31:0] One = 32'h3F80_0000;

  // Queue of finished tokens.
  logic                           head_valid;
  logic                           head_done;
  logic                           head_final;
  logic                           head_first_block;
  logic                           head_last_block;
  logic [TokenIndexBits-1:0]      head_token;
  logic [Lanes*32-1:0]            head_sums;
  logic [1:0]                     head_source;
  logic [ScaleBits-1:0]           head_weight_scale;
  logic [ActivationScaleBits-1:0] head_activation_scale;
  logic [ResultBits-1:0]          head_result;
  logic                           unused_write_ready;

  fifo #(
    .Depth(Tokens),
    .Width(5 + TokenIndexBits + ResultBits + ActivationScaleBits + ScaleBits + Lanes * 32)
  ) u_queue (
    .clk_i,
    .rst_ni,
    .write_valid_i(valid_i),
    .write_ready_o(unused_write_ready),
    .write_data_i ({final_i, first_block_i, last_block_i, token_i, source_i, result_i,
                    activation_scale_i, weight_scale_i, sums_i}),
    .read_valid_o (head_valid),
    .read_ready_i (head_done),
    .read_data_o  ({head_final, head_first_block, head_last_block, head_token, head_source,
                    head_result, head_activation_scale, head_weight_scale, head_sums})
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
  logic                 scale_read;
  logic [1:0]           scale_source;
  logic [1:0]           scale_source_q;
  logic [ScaleBits-1:0] scale_address;

  delay_line #(
    .Width (3 + ScaleBits),
    .Cycles(float_pkg::IntToFloatLatency - 1)
  ) u_weight_scale_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid, head_source, head_weight_scale + ScaleBits'(group_q)}),
    .data_o({scale_read, scale_source, scale_address})
  );

  assign weight_scale_read_o    = scale_read & (scale_source == matmul_pkg::Weights);
  assign weight_scale_address_o = WeightScaleBits'(scale_address);
  assign key_scale_read_o       = scale_read & (scale_source == matmul_pkg::Keys);
  assign key_scale_address_o    = KeyScaleBits'(scale_address);

  always_ff @(posedge clk_i) begin
    scale_source_q <= scale_source;
  end

  delay_line #(
    .Width (1 + ActivationScaleBits),
    .Cycles(SumLatency - 1)
  ) u_activation_scale_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid, head_activation_scale}),
    .data_o({activation_scale_read_o, activation_scale_address_o})
  );

  delay_line #(
    .Width (2 + ResultBits),
    .Cycles(SumLatency + float_pkg::FloatMultiplyLatency)
  ) u_result_delay (
    .clk_i,
    .rst_ni,
    .data_i({head_valid & head_last_block, head_valid & head_done & head_final,
             head_result + ResultBits'(group_q)}),
    .data_o({result_write_o, done_o, result_address_o})
  );

  logic [GroupBits-1:0] weight_scaled;
  logic [GroupBits-1:0] whole;

  if (BlockScales != 0) begin : gen_block_sum
    localparam int PlaceBits = $clog2(Tokens * Groups);

    logic                 scaled_valid;
    logic                 scaled_first;
    logic [PlaceBits-1:0] scaled_place;

    delay_line #(
      .Width (2 + PlaceBits),
      .Cycles(ScaledLatency)
    ) u_place_delay (
      .clk_i,
      .rst_ni,
      .data_i({head_valid, head_first_block, PlaceBits'({head_token, group_q})}),
      .data_o({scaled_valid, scaled_first, scaled_place})
    );

    block_sum #(
      .Results(ResultsPerCycle),
      .Places (Tokens * Groups)
    ) u_block_sum (
      .clk_i,
      .rst_ni,
      .valid_i   (scaled_valid),
      .first_i   (scaled_first),
      .place_i   (scaled_place),
      .products_i(weight_scaled),
      .sums_o    (whole)
    );
  end else begin : gen_one_block
    logic unused_block;

    assign unused_block = ^{head_first_block, head_token};
    assign whole        = weight_scaled;
  end

  for (genvar i = 0; i < ResultsPerCycle; i++) begin : gen_result
    logic [31:0] float_sum;
    logic [31:0] weight_scale;

    assign weight_scale = (scale_source_q == matmul_pkg::Weights) ? weight_scale_data_i[i*32+:32] :
                          (scale_source_q == matmul_pkg::Keys) ? key_scale_data_i[i*32+:32] : One;

    int_to_float u_int_to_float (
      .clk_i,
      .integer_i(group_sums[i*32+:32]),
      .float_o  (float_sum)
    );

    float_multiply u_weight_scale (
      .clk_i,
      .a_i      (float_sum),
      .b_i      (weight_scale),
      .product_o(weight_scaled[i*32+:32])
    );

    float_multiply u_activation_scale (
      .clk_i,
      .a_i      (whole[i*32+:32]),
      .b_i      (activation_scale_data_i),
      .product_o(result_data_o[i*32+:32])
    );
  end

endmodule
