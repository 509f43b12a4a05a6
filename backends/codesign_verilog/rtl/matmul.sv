// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The matmul unit: int8 activations × int8 weights, exact int32 sums, dequantized float32 results.
//
// result[token][row] = (float(sum over i of activation[token][i] * weight[row][i]) * weight scale[row])
//                      * activation scale[token]
// With BlockScales the sum may be cut into blocks of inputs, each times a weight scale of its own; the products are
// added up in the order of the blocks before they meet the activation scale.
//
// for Tokens tokens at most and any number of rows and inputs, in tiles of Lanes rows and slices of Width inputs. A
// weight word (Lanes × Width bytes) is read once per tile and slice and serves every token. Weights are those of a
// model, or keys or values of the KV cache. The loops and the timing are matmul_sequencer's; commands follow each other
// through the pipeline, and done_o stands in the cycle of each one's last result.
//
// The command is packed from its lowest bit: activation, activation_scale, weight, weight_scale, result (word
// addresses), result_stride, weight_stride (words from a token's results and a row tile to the next), k_slices,
// row_tiles, tokens, source (matmul_pkg), and with BlockScales block_slices (slices of a block, which divide k_slices).
// Memories answer a read in the next cycle and hold the answer.

module matmul #(
  parameter  int Lanes               = 32,
  parameter  int Width               = 32,
  parameter  int Tokens              = 8,
  parameter  int ResultsPerCycle     = 4,   // divides Lanes
  parameter  int LevelsPerStage      = 2,
  parameter  int BlockScales         = 0,   // 1: blocks of inputs may have their own
  parameter  int ActivationBits      = 10,
  parameter  int ActivationScaleBits = 4,
  parameter  int WeightBits          = 12,
  parameter  int KvBits              = 10,
  parameter  int WeightScaleBits     = 10,
  parameter  int KeyScaleBits        = 10,
  parameter  int ResultBits          = 12,
  parameter  int SlicesBits          = 16,
  parameter  int RowTilesBits        = 16,
  localparam int OperandBits         = (WeightBits > KvBits) ? WeightBits : KvBits,
  localparam int ScaleBits           =
      (WeightScaleBits > KeyScaleBits) ? WeightScaleBits : KeyScaleBits,
  localparam int TokensBits          = $clog2(Tokens + 1),
  localparam int BlockBits           = (BlockScales != 0) ? SlicesBits : 0,
  localparam int CommandBits         = ActivationBits + ActivationScaleBits + 2 * OperandBits
                                       + ScaleBits + 2 * ResultBits + SlicesBits + RowTilesBits
                                       + TokensBits + 2 + BlockBits
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           command_valid_i,
  output logic                           command_ready_o,
  input  logic [CommandBits-1:0]         command_i,
  output logic                           done_o,
  output logic                           activation_read_o,
  output logic [ActivationBits-1:0]      activation_address_o,
  input  logic [Width*8-1:0]             activation_data_i,
  output logic                           activation_scale_read_o,
  output logic [ActivationScaleBits-1:0] activation_scale_address_o,
  input  logic [31:0]                    activation_scale_data_i,
  output logic                           weight_read_o,
  output logic [WeightBits-1:0]          weight_address_o,
  input  logic [Lanes*Width*8-1:0]       weight_data_i,
  output logic                           kv_read_o,
  output logic [KvBits-1:0]              kv_address_o,
  input  logic [Lanes*Width*8-1:0]       kv_data_i,
  output logic                           weight_scale_read_o,
  output logic [WeightScaleBits-1:0]     weight_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  weight_scale_data_i,
  output logic                           key_scale_read_o,
  output logic [KeyScaleBits-1:0]        key_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  key_scale_data_i,
  output logic                           result_write_o,
  output logic [ResultBits-1:0]          result_address_o,
  output logic [ResultsPerCycle*32-1:0]  result_data_o
);

  localparam int TokenIndexBits = (Tokens > 1) ? $clog2(Tokens) : 1;
  // From an issue to its slice's sums at the accumulator: the memory read, then the dot product.
  localparam int SumLatency     = 1 + matmul_pkg::dot_product_latency(Width, LevelsPerStage);
  localparam int DrainLatency   =
      float_pkg::IntToFloatLatency + 2 * float_pkg::FloatMultiplyLatency
      + ((BlockScales != 0) ? float_pkg::latency(float_pkg::Add) : 0);

  // Command fields.
  logic [ActivationBits-1:0]      activation;
  logic [ActivationScaleBits-1:0] activation_scale;
  logic [OperandBits-1:0]         weight;
  logic [ScaleBits-1:0]           weight_scale;
  logic [ResultBits-1:0]          result;
  logic [ResultBits-1:0]          result_stride;
  logic [OperandBits-1:0]         weight_stride;
  logic [SlicesBits-1:0]          k_slices;
  logic [RowTilesBits-1:0]        row_tiles;
  logic [TokensBits-1:0]          tokens;
  logic [1:0]                     source;
  logic [SlicesBits-1:0]          block_slices;

  if (BlockScales != 0) begin : gen_block_slices
    assign block_slices = command_i[CommandBits-1-:SlicesBits];
  end else begin : gen_one_block
    assign block_slices = k_slices;
  end

  assign {source, tokens, row_tiles, k_slices, weight_stride, result_stride, result, weight_scale,
          weight, activation_scale, activation} = command_i[CommandBits-BlockBits-1:0];

  // Issue.
  logic                           busy;
  logic                           issue;
  logic                           first;
  logic                           last;
  logic                           first_block;
  logic                           last_block;
  logic                           final_issue;
  logic [TokenIndexBits-1:0]      token;
  logic                           weight_read;
  logic [OperandBits-1:0]         weight_address;
  logic [1:0]                     issue_source;
  logic [ScaleBits-1:0]           weight_scale_address;
  logic [ActivationScaleBits-1:0] activation_scale_address;
  logic [ResultBits-1:0]          result_address;

  assign activation_read_o = issue;
  assign weight_read_o     = weight_read & (issue_source == matmul_pkg::Weights);
  assign weight_address_o  = WeightBits'(weight_address);
  assign kv_read_o         = weight_read & (issue_source != matmul_pkg::Weights);
  assign kv_address_o      = KvBits'(weight_address);

  matmul_sequencer #(
    .Lanes              (Lanes),
    .Tokens             (Tokens),
    .ResultsPerCycle    (ResultsPerCycle),
    .ActivationBits     (ActivationBits),
    .ActivationScaleBits(ActivationScaleBits),
    .OperandBits        (OperandBits),
    .ScaleBits          (ScaleBits),
    .ResultBits         (ResultBits),
    .SlicesBits         (SlicesBits),
    .RowTilesBits       (RowTilesBits),
    .Latency            (SumLatency + DrainLatency)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .command_valid_i,
    .command_ready_o,
    .activation_i      (activation),
    .activation_scale_i(activation_scale),
    .weight_i          (weight),
    .weight_scale_i    (weight_scale),
    .result_i          (result),
    .result_stride_i   (result_stride),
    .weight_stride_i   (weight_stride),
    .k_slices_i        (k_slices),
    .block_slices_i    (block_slices),
    .row_tiles_i       (row_tiles),
    .tokens_i          (tokens),
    .source_i          (source),
    .busy_o            (busy),
    .issue_o           (issue),
    .first_o           (first),
    .last_o            (last),
    .first_block_o     (first_block),
    .last_block_o      (last_block),
    .final_o           (final_issue),
    .token_o           (token),
    .activation_o      (activation_address_o),
    .weight_read_o     (weight_read),
    .weight_o          (weight_address),
    .source_o          (issue_source),
    .weight_scale_o    (weight_scale_address),
    .activation_scale_o(activation_scale_address),
    .result_o          (result_address)
  );

  // What follows an issue rests between commands.
  logic work_clk;

  clock_gate u_clock_gate (
    .clk_i,
    .enable_i(busy),
    .clk_o   (work_clk)
  );

  // Dot product, its slice's tag beside it.
  logic                           sum_valid;
  logic                           sum_first;
  logic                           sum_last;
  logic                           sum_first_block;
  logic                           sum_last_block;
  logic                           sum_final;
  logic [1:0]                     sum_source;
  logic [TokenIndexBits-1:0]      sum_token;
  logic [ScaleBits-1:0]           sum_weight_scale;
  logic [ActivationScaleBits-1:0] sum_activation_scale;
  logic [ResultBits-1:0]          sum_result;
  logic                           from_kv_q;
  logic [Lanes*Width*8-1:0]       weights;
  logic [Lanes*32-1:0]            slice_sums;
  logic [Lanes*32-1:0]            sums;

  delay_line #(
    .Width (8 + TokenIndexBits + ScaleBits + ActivationScaleBits + ResultBits),
    .Cycles(SumLatency)
  ) u_tag (
    .clk_i (work_clk),
    .rst_ni,
    .data_i({issue, first, last, first_block, last_block, final_issue, issue_source, token,
             weight_scale_address, activation_scale_address, result_address}),
    .data_o({sum_valid, sum_first, sum_last, sum_first_block, sum_last_block, sum_final, sum_source,
             sum_token, sum_weight_scale, sum_activation_scale, sum_result})
  );

  always_ff @(posedge work_clk) begin
    from_kv_q <= issue_source != matmul_pkg::Weights;
  end

  assign weights = from_kv_q ? kv_data_i : weight_data_i;

  dot_product #(
    .Lanes         (Lanes),
    .Width         (Width),
    .LevelsPerStage(LevelsPerStage)
  ) u_dot_product (
    .clk_i        (work_clk),
    .activations_i(activation_data_i),
    .weights_i    (weights),
    .sums_o       (slice_sums)
  );

  accumulator #(
    .Lanes (Lanes),
    .Tokens(Tokens)
  ) u_accumulator (
    .clk_i    (work_clk),
    .valid_i  (sum_valid),
    .first_i  (sum_first),
    .token_i  (sum_token),
    .addends_i(slice_sums),
    .sums_o   (sums)
  );

  dequantizer #(
    .Lanes              (Lanes),
    .Tokens             (Tokens),
    .ResultsPerCycle    (ResultsPerCycle),
    .BlockScales        (BlockScales),
    .WeightScaleBits    (WeightScaleBits),
    .KeyScaleBits       (KeyScaleBits),
    .ActivationScaleBits(ActivationScaleBits),
    .ResultBits         (ResultBits)
  ) u_dequantizer (
    .clk_i             (work_clk),
    .rst_ni,
    .valid_i           (sum_valid & sum_last),
    .final_i           (sum_final),
    .first_block_i     (sum_first_block),
    .last_block_i      (sum_last_block),
    .token_i           (sum_token),
    .sums_i            (sums),
    .source_i          (sum_source),
    .weight_scale_i    (sum_weight_scale),
    .activation_scale_i(sum_activation_scale),
    .result_i          (sum_result),
    .weight_scale_read_o,
    .weight_scale_address_o,
    .weight_scale_data_i,
    .key_scale_read_o,
    .key_scale_address_o,
    .key_scale_data_i,
    .activation_scale_read_o,
    .activation_scale_address_o,
    .activation_scale_data_i,
    .done_o,
    .result_write_o,
    .result_address_o,
    .result_data_o
  );

endmodule
