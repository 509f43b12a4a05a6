// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One queue: its microcode memory, the sequencer that runs it, and two counts of cycles since the start: those in which
// a command was unfinished (busy_o), and those in which a command offered or a sync lacked a credit (waiting_o).
//
// Parameters are those of sequencer. Microcode is written while the queue does not run.

module microcode_queue
  import microcode_pkg::*;
#(
  parameter  int                         Queues          = 3,
  parameter  int                         Units           = 1,
  parameter  int                         Fields          = 2,
  parameter  int                         Indexed         = 2,
  parameter  logic [Units*Fields*32-1:0] Layout          = '0,
  parameter  int                         CommandBits     = 40,
  parameter  int                         PayloadBits     = 60,
  parameter  int                         Depth           = 1024,
  parameter  int                         TokenBits       = 10,
  parameter  bit                         Exclusive       = 1'b0,
  localparam int                         InstructionBits = OpcodeBits + 2 * Queues + PayloadBits,
  localparam int                         AddressBits     = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       start_i,
  input  logic [31:0]                prompt_length_i,
  input  logic [31:0]                max_tokens_i,
  output logic                       running_o,
  input  logic                       microcode_write_i,
  input  logic [AddressBits-1:0]     microcode_address_i,
  input  logic [InstructionBits-1:0] microcode_data_i,
  output logic                       token_read_o,
  output logic [TokenBits-1:0]       token_address_o,
  input  logic [31:0]                token_data_i,
  input  logic [Queues-1:0]          credit_i,
  output logic [Queues-1:0]          take_o,
  output logic [Queues-1:0]          done_signal_o,
  output logic [Queues-1:0]          sync_signal_o,
  output logic [Units-1:0]           command_valid_o,
  input  logic [Units-1:0]           command_ready_i,
  output logic [CommandBits-1:0]     command_o,
  input  logic [Units-1:0]           done_i,
  output logic [31:0]                busy_o,
  output logic [31:0]                waiting_o
);

  logic                       read;
  logic [AddressBits-1:0]     address;
  logic [InstructionBits-1:0] instruction;
  logic                       busy;
  logic                       waiting;

  sram #(
    .Depth(Depth),
    .Width(InstructionBits)
  ) u_microcode (
    .clk_i,
    .write_i        (microcode_write_i),
    .write_address_i(microcode_address_i),
    .write_data_i   (microcode_data_i),
    .read_i         (read),
    .read_address_i (address),
    .read_data_o    (instruction)
  );

  sequencer #(
    .Queues     (Queues),
    .Units      (Units),
    .Fields     (Fields),
    .Indexed    (Indexed),
    .Layout     (Layout),
    .CommandBits(CommandBits),
    .PayloadBits(PayloadBits),
    .Depth      (Depth),
    .TokenBits  (TokenBits),
    .Exclusive  (Exclusive)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .start_i,
    .prompt_length_i,
    .max_tokens_i,
    .running_o,
    .microcode_read_o   (read),
    .microcode_address_o(address),
    .microcode_data_i   (instruction),
    .token_read_o,
    .token_address_o,
    .token_data_i,
    .credit_i,
    .take_o,
    .done_signal_o,
    .sync_signal_o,
    .command_valid_o,
    .command_ready_i,
    .command_o,
    .done_i,
    .busy_o             (busy),
    .waiting_o          (waiting)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_o    <= '0;
      waiting_o <= '0;
    end else if (start_i) begin
      busy_o    <= '0;
      waiting_o <= '0;
    end else begin
      busy_o    <= busy_o + 32'(busy);
      waiting_o <= waiting_o + 32'(waiting);
    end
  end

endmodule
