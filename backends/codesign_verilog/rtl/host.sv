// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The host's register port: loads microcode and prompt, starts the chip, reads tokens, status and counters.
//
// docs/chip.md lists the registers. A read answers in the next cycle. A write of control's bit 0 starts the chip in
// its cycle, unless it runs. Microcode comes in words of 32 bits, lowest first; the last word of an instruction, which
// the chosen queue's InstructionBits (32 bits a queue) tell, writes it. Tokens come from the host before the start and
// from the argmax unit after; each of their readers has a port.

module host #(
  parameter  int                   Queues          = 3,
  parameter  logic [Queues*32-1:0] InstructionBits = {Queues{32'd74}},
  parameter  int                   LongestBits     = 74,    // of the longest instructions
  parameter  int                   Depth           = 1024,  // of microcode
  parameter  int                   Tokens          = 1024,  // 8192 at most
  localparam int                   AddressBits     = (Depth > 1) ? $clog2(Depth) : 1,
  localparam int                   TokenBits       = (Tokens > 1) ? $clog2(Tokens) : 1
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        host_write_i,
  input  logic [15:0]                 host_address_i,
  input  logic [31:0]                 host_data_i,
  output logic [31:0]                 host_data_o,
  // Of the chip.
  output logic                        start_o,
  output logic [31:0]                 prompt_length_o,
  output logic [31:0]                 max_tokens_o,
  input  logic                        done_i,
  input  logic [1:0]                  error_i,  // of loads, of stores
  input  logic [Queues*32-1:0]        busy_i,
  input  logic [Queues*32-1:0]        waiting_i,
  output logic [Queues-1:0]           microcode_write_o,
  output logic [AddressBits-1:0]      microcode_address_o,
  output logic [LongestBits-1:0]      microcode_data_o,
  // Tokens: written by the argmax unit, read by queues.
  input  logic                        token_write_i,
  input  logic [TokenBits-1:0]        token_address_i,
  input  logic [31:0]                 token_data_i,
  input  logic [Queues-1:0]           token_read_i,
  input  logic [Queues*TokenBits-1:0] token_read_address_i,
  output logic [Queues*32-1:0]        token_read_data_o,
  // Every token in the cycle in which the argmax unit writes it.
  output logic                        token_valid_o,
  output logic [31:0]                 token_o
);

  localparam int Words     = (LongestBits + 31) / 32;
  localparam int WordBits  = (Words > 1) ? $clog2(Words) : 1;
  localparam int QueueBits = (Queues > 1) ? $clog2(Queues) : 1;

  localparam logic [15:0] Control          = 16'h00;
  localparam logic [15:0] Status           = 16'h04;
  localparam logic [15:0] PromptLength     = 16'h08;
  localparam logic [15:0] MaxTokens        = 16'h0C;
  localparam logic [15:0] Generated        = 16'h10;
  localparam logic [15:0] MicrocodeQueue   = 16'h14;
  localparam logic [15:0] MicrocodeAddress = 16'h18;
  localparam logic [15:0] MicrocodeData    = 16'h1C;
  localparam logic [15:0] Counters         = 16'h20;  // of queue q at 8 q: busy, waiting

  logic                   started_q;    // ever
  logic [31:0]            generated_q;
  logic [QueueBits-1:0]   queue_q;
  logic [AddressBits-1:0] address_q;
  logic [WordBits-1:0]    word_q;       // the instruction's next word
  logic [Words*32-1:0]    collected_q;
  logic [Words*32-1:0]    instruction;
  logic                   word_write;
  logic                   last_word;

  assign start_o       =
      host_write_i & (host_address_i == Control) & host_data_i[0] & (~started_q | done_i);
  assign token_valid_o = token_write_i;
  assign token_o       = token_data_i;

  // Microcode.
  assign word_write          = host_write_i & (host_address_i == MicrocodeData);
  assign last_word           = (32'(word_q) + 1) * 32 >= InstructionBits[queue_q*32+:32];
  assign microcode_address_o = address_q;
  assign microcode_data_o    = instruction[LongestBits-1:0];

  always_comb begin
    instruction                = collected_q;
    instruction[word_q*32+:32] = host_data_i;
  end

  for (genvar q = 0; q < Queues; q++) begin : gen_queue
    assign microcode_write_o[q] = word_write & last_word & (queue_q == QueueBits'(q));
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      word_q <= '0;
    end else if (word_write) begin
      word_q <= last_word ? '0 : word_q + 1'b1;
    end else if (host_write_i
                 && (host_address_i == MicrocodeQueue || host_address_i == MicrocodeAddress)) begin
      word_q <= '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (word_write) begin
      collected_q <= instruction;
      address_q   <= address_q + AddressBits'(last_word);
    end else if (host_write_i) begin
      case (host_address_i)
        PromptLength:     prompt_length_o <= host_data_i;
        MaxTokens:        max_tokens_o    <= host_data_i;
        MicrocodeQueue:   queue_q         <= QueueBits'(host_data_i);
        MicrocodeAddress: address_q       <= AddressBits'(host_data_i);
        default: ;
      endcase
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      started_q   <= 1'b0;
      generated_q <= '0;
    end else if (start_o) begin
      started_q   <= 1'b1;
      generated_q <= '0;
    end else begin
      generated_q <= generated_q + 32'(token_write_i);
    end
  end

  // Tokens.
  logic                 of_token;   // the host addresses a token
  logic [TokenBits-1:0] token;
  logic                 host_token;
  logic [31:0]          token_read_data;

  assign of_token   = host_address_i[15];
  assign token      = TokenBits'(host_address_i[14:0] >> 2);
  assign host_token = host_write_i & of_token;

  token_memory #(
    .Depth  (Tokens),
    .Readers(Queues + 1)
  ) u_tokens (
    .clk_i,
    .write_i        (token_write_i | host_token),
    .write_address_i(token_write_i ? token_address_i : token),
    .write_data_i   (token_write_i ? token_data_i : host_data_i),
    .read_i         ({of_token, token_read_i}),
    .read_address_i ({token, token_read_address_i}),
    .read_data_o    ({token_read_data, token_read_data_o})
  );

  // Reads.
  logic        of_token_q;
  logic [31:0] data;
  logic [31:0] data_q;

  always_comb begin
    case (host_address_i)
      Status:       data = {30'b0, |error_i, done_i};
      PromptLength: data = prompt_length_o;
      MaxTokens:    data = max_tokens_o;
      Generated:    data = generated_q;
      default:      data = '0;
    endcase
    for (int q = 0; q < Queues; q++) begin
      if (host_address_i == Counters + 16'(8 * q))     data = busy_i[q*32+:32];
      if (host_address_i == Counters + 16'(8 * q + 4)) data = waiting_i[q*32+:32];
    end
  end

  always_ff @(posedge clk_i) begin
    of_token_q <= of_token;
    data_q     <= data;
  end

  assign host_data_o = of_token_q ? token_read_data : data_q;

endmodule
