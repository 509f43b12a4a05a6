// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads microcode and hands its instructions to the units, in order, one a cycle at most.
//
// An instruction is packed from its lowest bit: opcode, wait (one bit a unit), payload. Opcode 0 halts, opcode u + 1
// commands unit u, whose command is the low bits of the payload. An instruction issues once every unit named by its
// wait bits is idle and its own unit takes the command: that is how one unit's work waits for, or overlaps, another's.
// Opcodes beyond the last unit are illegal and never issue. Instruction 0 can issue in the cycle after start_i;
// done_o stands from the cycle after the halt issues until the next start.

module scheduler #(
  parameter  int Units           = 2,
  parameter  int OpcodeBits      = 4,
  parameter  int PayloadBits     = 96,
  parameter  int MicrocodeDepth  = 1024,
  localparam int InstructionBits = OpcodeBits + Units + PayloadBits,
  localparam int AddressBits     = $clog2(MicrocodeDepth)
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       start_i,
  output logic                       done_o,
  // Microcode memory; a read answers in the next cycle and holds the answer.
  output logic                       microcode_read_o,
  output logic [AddressBits-1:0]     microcode_address_o,
  input  logic [InstructionBits-1:0] microcode_data_i,
  // Units.
  output logic [Units-1:0]           command_valid_o,
  input  logic [Units-1:0]           command_ready_i,
  output logic [PayloadBits-1:0]     command_o,
  input  logic [Units-1:0]           idle_i
);

  logic [OpcodeBits-1:0] opcode;
  logic [Units-1:0]      waits;

  assign {command_o, waits, opcode} = microcode_data_i;

  logic                   running_q;
  logic [AddressBits-1:0] next_q;  // address of the instruction after the one at microcode_data_i
  logic                   start;
  logic                   clear;
  logic                   halt;
  logic                   issue;

  assign start = start_i & ~running_q;
  assign clear = running_q & ((waits & ~idle_i) == '0);
  assign halt  = clear & (opcode == '0);
  assign issue = (command_valid_o & command_ready_i) != '0;

  for (genvar unit = 0; unit < Units; unit++) begin : gen_unit
    assign command_valid_o[unit] = clear & (opcode == OpcodeBits'(unit + 1));
  end

  assign microcode_read_o    = start | issue;
  assign microcode_address_o = start ? '0 : next_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      done_o    <= 1'b0;
      next_q    <= '0;
    end else begin
      if (start) begin
        running_q <= 1'b1;
        done_o    <= 1'b0;
      end else if (halt) begin
        running_q <= 1'b0;
        done_o    <= 1'b1;
      end
      if (microcode_read_o) begin
        next_q <= microcode_address_o + 1'b1;
      end
    end
  end

endmodule
