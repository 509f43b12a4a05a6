// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The matmul unit: int8 activations × int8 weights, exact int32 sums, dequantized float32 results.
//
// result[token][row] = (float(sum over i of activation[token][i] * weight[row][i]) * weight scale[row])
//                      * activation scale[token]
// for Tokens tokens at most and any number of rows and inputs, in tiles of Lanes rows and slices of Width inputs. A
// weight word (Lanes × Width bytes) is read once per tile and slice and serves every token. The loops and the timing
// are matmul_sequencer's.
//
// The command is packed from its lowest bit: activation, activation_scale, weight, weight_scale, result (word
// addresses), k_slices, row_tiles, tokens. Memories answer a read in the next cycle and hold the answer.

module matmul #(
  parameter  int Lanes               = 32,
  parameter  int Width               = 32,
  parameter  int Tokens              = 8,
  parameter  int ResultsPerCycle     = 4,   // divides Lanes
  parameter  int LevelsPerStage      = 2,
  parameter  int ActivationBits      = 10,
  parameter  int ActivationScaleBits = 4,
  parameter  int WeightBits          = 12,
  parameter  int WeightScaleBits     = 10,
  parameter  int ResultBits          = 12,
  parameter  int SlicesBits          = 16,
  parameter  int RowTilesBits        = 16,
  localparam int TokensBits          = $clog2(Tokens + 1),
  localparam int CommandBits         = ActivationBits + ActivationScaleBits + WeightBits + WeightScaleBits
                                       + ResultBits + SlicesBits + RowTilesBits + TokensBits
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           command_valid_i,
  output logic                           command_ready_o,
  input  logic [CommandBits-1:0]         command_i,
  output logic                           idle_o,
  output logic                           activation_read_o,
  output logic [ActivationBits-1:0]      activation_address_o,
  input  logic [Width*8-1:0]             activation_data_i,
  output logic                           activation_scale_read_o,
  output logic [ActivationScaleBits-1:0] activation_scale_address_o,
  input  logic [31:0]                    activation_scale_data_i,
  output logic                           weight_read_o,
  output logic [WeightBits-1:0]          weight_address_o,
  input  logic [Lanes*Width*8-1:0]       weight_data_i,
  output logic                           weight_scale_read_o,
  output logic [WeightScaleBits-1:0]     weight_scale_address_o,
  input  logic [ResultsPerCycle*32-1:0]  weight_scale_data_i,
  output logic                           result_write_o,
  output logic [ResultBits-1:0]          result_address_o,
  output logic [ResultsPerCycle*32-1:0]  result_data_o
);

  localparam int TokenIndexBits = (Tokens > 1) ? $clog2(Tokens) : 1;
  // From an issue to its slice's sums at the accumulator: the memory read, then the dot product.
  localparam int SumLatency     = 1 + matmul_pkg::dot_product_latency(Width, LevelsPerStage);
  localparam int DrainLatency   = float_pkg::IntToFloatLatency + 2 * float_pkg::FloatMultiplyLatency;

  // Command fields.
  logic [ActivationBits-1:0]      activation;
  logic [ActivationScaleBits-1:0] activation_scale;
  logic [WeightBits-1:0]          weight;
  logic [WeightScaleBits-1:0]     weight_scale;
  logic [ResultBits-1:0]          result;
  logic [SlicesBits-1:0]          k_slices;
  logic [RowTilesBits-1:0]        row_tiles;
  logic [TokensBits-1:0]          tokens;

  assign {tokens, row_tiles, k_slices, result, weight_scale, weight, activation_scale, activation} = command_i;

  // Issue.
  logic                           issue;
  logic                           first;
  logic                           last;
  logic [TokenIndexBits-1:0]      token;
  logic [WeightScaleBits-1:0]     weight_scale_address;
  logic [ActivationScaleBits-1:0] activation_scale_address;
  logic [ResultBits-1:0]          result_address;

  assign activation_read_o = issue;

  matmul_sequencer #(
    .Lanes              (Lanes),
    .Tokens             (Tokens),
    .ResultsPerCycle    (ResultsPerCycle),
    .ActivationBits     (ActivationBits),
    .ActivationScaleBits(ActivationScaleBits),
    .WeightBits         (WeightBits),
    .WeightScaleBits    (WeightScaleBits),
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
    .k_slices_i        (k_slices),
    .row_tiles_i       (row_tiles),
    .tokens_i          (tokens),
    .idle_o,
    .issue_o           (issue),
    .first_o           (first),
    .last_o            (last),
    .token_o           (token),
    .activation_o      (activation_address_o),
    .weight_read_o,
    .weight_o          (weight_address_o),
    .weight_scale_o    (weight_scale_address),
    .activation_scale_o(activation_scale_address),
    .result_o          (result_address)
  );

  // Dot product, its slice's tag beside it.
  logic                           sum_valid;
  logic                           sum_first;
  logic                           sum_last;
  logic [TokenIndexBits-1:0]      sum_token;
  logic [WeightScaleBits-1:0]     sum_weight_scale;
  logic [ActivationScaleBits-1:0] sum_activation_scale;
  logic [ResultBits-1:0]          sum_result;
  logic [Lanes*32-1:0]            slice_sums;
  logic [Lanes*32-1:0]            sums;

  delay_line #(
    .Width (3 + TokenIndexBits + WeightScaleBits + ActivationScaleBits + ResultBits),
    .Cycles(SumLatency)
  ) u_tag (
    .clk_i,
    .rst_ni,
    .data_i({issue, first, last, token, weight_scale_address, activation_scale_address, result_address}),
    .data_o({sum_valid, sum_first, sum_last, sum_token, sum_weight_scale, sum_activation_scale, sum_result})
  );

  dot_product #(
    .Lanes         (Lanes),
    .Width         (Width),
    .LevelsPerStage(LevelsPerStage)
  ) u_dot_product (
    .clk_i,
    .activations_i(activation_data_i),
    .weights_i    (weight_data_i),
    .sums_o       (slice_sums)
  );

  accumulator #(
    .Lanes (Lanes),
    .Tokens(Tokens)
  ) u_accumulator (
    .clk_i,
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
    .WeightScaleBits    (WeightScaleBits),
    .ActivationScaleBits(ActivationScaleBits),
    .ResultBits         (ResultBits)
  ) u_dequantizer (
    .clk_i,
    .rst_ni,
    .valid_i           (sum_valid & sum_last),
    .sums_i            (sums),
    .weight_scale_i    (sum_weight_scale),
    .activation_scale_i(sum_activation_scale),
    .result_i          (sum_result),
    .weight_scale_read_o,
    .weight_scale_address_o,
    .weight_scale_data_i,
    .activation_scale_read_o,
    .activation_scale_address_o,
    .activation_scale_data_i,
    .result_write_o,
    .result_address_o,
    .result_data_o
  );

endmodule
