// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks the loops of a matmul command: row tile outermost, k slice, token innermost; one activation slice a cycle.
// Row tiles are weight_stride_i words apart, the results of tokens result_stride_i words. A row tile's slices come in
// blocks of block_slices_i, each with Groups words of weight scales; k_slices_i are one block or several.
//
// It holds back the last slice of a block of a token while the dequantizer's queue (QueueDepth tokens, Groups cycles
// each) would have no room for it. Nothing after the issue ever stalls, so the queue's state is known here: backlog_q
// counts the cycles of draining ahead as if sums arrived at issue, the true queue following at a fixed distance. The
// next command is taken once the backlog is spent, so every command's timing is its own:
// accepted in cycle a, with blocks = row_tiles * k_slices / block_slices and
// body = tokens * ((block_slices - 1) + Groups + (blocks - 1) * max(block_slices, Groups)),
// ready again in cycle a + body + 1, its last result written in cycle a + body + 1 + Latency. busy_o stands from
// cycle a + 1 until then.

module matmul_sequencer #(
  parameter  int Lanes               = 32,
  parameter  int Tokens              = 8,
  parameter  int ResultsPerCycle     = 4,
  parameter  int ActivationBits      = 10,
  parameter  int ActivationScaleBits = 4,
  parameter  int OperandBits         = 12,  // of a weight word's address
  parameter  int ScaleBits           = 10,  // of a weight scale word's
  parameter  int ResultBits          = 12,
  parameter  int SlicesBits          = 16,
  parameter  int RowTilesBits        = 16,
  parameter  int Latency             = 13,  // from an issue to its last write, beyond the queue
  localparam int TokensBits          = $clog2(Tokens + 1),
  localparam int TokenIndexBits      = (Tokens > 1) ? $clog2(Tokens) : 1
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  // Command; every count is at least 1.
  input  logic                           command_valid_i,
  output logic                           command_ready_o,
  input  logic [ActivationBits-1:0]      activation_i,
  input  logic [ActivationScaleBits-1:0] activation_scale_i,
  input  logic [OperandBits-1:0]         weight_i,
  input  logic [ScaleBits-1:0]           weight_scale_i,
  input  logic [ResultBits-1:0]          result_i,
  input  logic [ResultBits-1:0]          result_stride_i,
  input  logic [OperandBits-1:0]         weight_stride_i,
  input  logic [SlicesBits-1:0]          k_slices_i,
  input  logic [SlicesBits-1:0]          block_slices_i,
  input  logic [RowTilesBits-1:0]        row_tiles_i,
  input  logic [TokensBits-1:0]          tokens_i,
  input  logic [1:0]                     source_i,
  output logic                           busy_o,
  // Issue of one slice of one token.
  output logic                           issue_o,
  output logic                           first_o,        // of a block
  output logic                           last_o,
  output logic                           first_block_o,  // of a row tile
  output logic                           last_block_o,
  output logic                           final_o,        // of the command
  output logic [TokenIndexBits-1:0]      token_o,
  output logic [ActivationBits-1:0]      activation_o,
  output logic                           weight_read_o,
  output logic [OperandBits-1:0]         weight_o,
  output logic [1:0]                     source_o,
  // Where the sums go that this issue finishes.
  output logic [ScaleBits-1:0]           weight_scale_o,
  output logic [ActivationScaleBits-1:0] activation_scale_o,
  output logic [ResultBits-1:0]          result_o
);

  localparam int Groups      = Lanes / ResultsPerCycle;
  localparam int BacklogBits = $clog2(Tokens * Groups + 2);
  localparam int SettleBits  = $clog2(Latency + 1);

  // A token may finish when, this cycle's drain done, at most Tokens - 1 tokens are queued.
  localparam logic [BacklogBits-1:0] MaxBacklog = BacklogBits'((Tokens - 1) * Groups + 1);

  // The command.
  logic                           active_q;
  logic [ActivationBits-1:0]      activation_base_q;
  logic [ActivationScaleBits-1:0] activation_scale_base_q;
  logic [ResultBits-1:0]          result_stride_q;
  logic [OperandBits-1:0]         weight_stride_q;
  logic [SlicesBits-1:0]          k_slices_q;
  logic [SlicesBits-1:0]          block_slices_q;
  logic [RowTilesBits-1:0]        row_tiles_q;
  logic [TokensBits-1:0]          tokens_q;

  // The place in its loops.
  logic [RowTilesBits-1:0]   row_tile_q;
  logic [SlicesBits-1:0]     slice_q;
  logic [SlicesBits-1:0]     block_slice_q;       // slice_q in its block
  logic [TokensBits-1:0]     token_q;
  logic [ActivationBits-1:0] slice_activation_q;  // slice_q of token 0
  logic [ActivationBits-1:0] activation_q;        // slice_q of token_q
  logic [OperandBits-1:0]    row_weight_q;        // slice 0 of row_tile_q
  logic [OperandBits-1:0]    weight_q;
  logic [ScaleBits-1:0]      weight_scale_q;
  logic [ResultBits-1:0]     row_result_q;        // row_tile_q of token 0
  logic [ResultBits-1:0]     result_q;            // row_tile_q of token_q
  logic [OperandBits-1:0]    next_row_weight;

  logic [BacklogBits-1:0] backlog_q;
  logic [SettleBits-1:0]  settle_q;

  logic accept;
  logic last_token;
  logic last_slice;
  logic last_of_block;
  logic last_row_tile;
  logic draining;

  assign last_token    = token_q + 1'b1 == tokens_q;
  assign last_slice    = slice_q + 1'b1 == k_slices_q;
  assign last_of_block = block_slice_q + 1'b1 == block_slices_q;
  assign last_row_tile = row_tile_q + 1'b1 == row_tiles_q;

  assign next_row_weight = row_weight_q + weight_stride_q;

  assign issue_o            = active_q & (~last_of_block | (backlog_q <= MaxBacklog));
  assign first_o            = block_slice_q == '0;
  assign last_o             = last_of_block;
  assign first_block_o      = slice_q == block_slice_q;
  assign last_block_o       = last_slice;
  assign final_o            = last_token & last_slice & last_row_tile;
  assign token_o            = TokenIndexBits'(token_q);
  assign activation_o       = activation_q;
  assign weight_read_o      = issue_o & (token_q == '0);
  assign weight_o           = weight_q;
  assign weight_scale_o     = weight_scale_q;
  assign activation_scale_o = activation_scale_base_q + ActivationScaleBits'(token_q);
  assign result_o           = result_q;

  assign command_ready_o = ~active_q & (backlog_q <= BacklogBits'(1));
  assign accept          = command_valid_i & command_ready_o;
  assign draining        = active_q | (backlog_q != '0);
  assign busy_o          = draining | (settle_q != '0);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      active_q  <= 1'b0;
      backlog_q <= '0;
      settle_q  <= '0;
    end else begin
      if (accept) begin
        active_q <= 1'b1;
      end else if (issue_o && final_o) begin
        active_q <= 1'b0;
      end
      backlog_q <= ((backlog_q == '0) ? '0 : backlog_q - 1'b1)
                   + ((issue_o && last_of_block) ? BacklogBits'(Groups) : '0);
      if (draining) begin
        settle_q <= SettleBits'(Latency);
      end else if (settle_q != '0) begin
        settle_q <= settle_q - 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      activation_base_q       <= activation_i;
      activation_scale_base_q <= activation_scale_i;
      result_stride_q         <= result_stride_i;
      weight_stride_q         <= weight_stride_i;
      k_slices_q              <= k_slices_i;
      block_slices_q          <= block_slices_i;
      row_tiles_q             <= row_tiles_i;
      tokens_q                <= tokens_i;
      source_o                <= source_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      row_tile_q         <= '0;
      slice_q            <= '0;
      block_slice_q      <= '0;
      token_q            <= '0;
      slice_activation_q <= activation_i;
      activation_q       <= activation_i;
      row_weight_q       <= weight_i;
      weight_q           <= weight_i;
      weight_scale_q     <= weight_scale_i;
      row_result_q       <= result_i;
      result_q           <= result_i;
    end else if (issue_o && !last_token) begin
      token_q      <= token_q + 1'b1;
      activation_q <= activation_q + ActivationBits'(k_slices_q);
      if (last_slice) begin
        result_q <= result_q + result_stride_q;
      end
    end else if (issue_o && !last_slice) begin
      token_q            <= '0;
      slice_q            <= slice_q + 1'b1;
      block_slice_q      <= last_of_block ? '0 : block_slice_q + 1'b1;
      if (last_of_block) begin
        weight_scale_q <= weight_scale_q + ScaleBits'(Groups);
      end
      slice_activation_q <= slice_activation_q + 1'b1;
      activation_q       <= slice_activation_q + 1'b1;
      weight_q           <= weight_q + 1'b1;
    end else if (issue_o) begin
      token_q            <= '0;
      slice_q            <= '0;
      block_slice_q      <= '0;
      row_tile_q         <= row_tile_q + 1'b1;
      slice_activation_q <= activation_base_q;
      activation_q       <= activation_base_q;
      row_weight_q       <= next_row_weight;
      weight_q           <= next_row_weight;
      weight_scale_q     <= weight_scale_q + ScaleBits'(Groups);
      row_result_q       <= row_result_q + ResultBits'(Groups);
      result_q           <= row_result_q + ResultBits'(Groups);
    end
  end

endmodule
