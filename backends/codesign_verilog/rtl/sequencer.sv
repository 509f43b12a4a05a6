// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs a queue's program: computes on registers, branches, and offers commands to the queue's units, one at a time.
//
// One instruction executes a cycle, the first in the cycle after start_i, which comes while none runs. An issue moves
// its command, registers added to its indexed fields, to the output register; there it waits until its unit is ready,
// one of the places for unfinished commands is free and every credit is there. All places must be free if Exclusive, or
// if the command before was another unit's: units take turns. A sync executes once the output register is empty and its
// credits are there; a halt, and a sync that signals, besides once no command is unfinished, so that signals keep the
// order of the program. Units end their commands in order, with a pulse of done_i each.
//
// Layout describes the commands: Fields entries of 32 bits for unit 0, then for unit 1 and so on; in hexadecimal an
// entry is NNNWWPPP. The field is the command's bits PPP on, WW of them (0: no field); payload bits NNN on name the
// register that is added (0: none; always from entry Indexed on). Entry i of every unit shares a register read;
// entries 0 and 1 share those of a compute's operands. Opcodes of no meaning never execute.

module sequencer
  import microcode_pkg::*;
#(
  parameter  int                         Queues          = 3,
  parameter  int                         Units           = 1,
  parameter  int                         Fields          = 2,
  parameter  int                         Indexed         = 2,   // at least 2
  parameter  logic [Units*Fields*32-1:0] Layout          = '0,
  parameter  int                         CommandBits     = 40,  // of the longest command
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
  // Microcode memory; a read answers in the next cycle and holds the answer.
  output logic                       microcode_read_o,
  output logic [AddressBits-1:0]     microcode_address_o,
  input  logic [InstructionBits-1:0] microcode_data_i,
  // Token memory, likewise.
  output logic                       token_read_o,
  output logic [TokenBits-1:0]       token_address_o,
  input  logic [31:0]                token_data_i,
  // Credits: which queues have given one, those taken, those given by a command that ends and by a sync.
  input  logic [Queues-1:0]          credit_i,
  output logic [Queues-1:0]          take_o,
  output logic [Queues-1:0]          done_signal_o,
  output logic [Queues-1:0]          sync_signal_o,
  // Units.
  output logic [Units-1:0]           command_valid_o,
  input  logic [Units-1:0]           command_ready_i,
  output logic [CommandBits-1:0]     command_o,
  input  logic [Units-1:0]           done_i,
  // Some command is unfinished; a command offered or a sync lacks a credit.
  output logic                       busy_o,
  output logic                       waiting_o
);

  localparam int Places   = 16;
  localparam int UnitBits = (Units > 1) ? $clog2(Units) : 1;

  // The instruction at hand.
  logic [PayloadBits-1:0] payload;
  logic [Queues-1:0]      signals;
  logic [Queues-1:0]      waits;
  logic [OpcodeBits-1:0]  opcode;
  compute_t               compute;
  branch_t                branch;
  token_t                 token;
  logic [UnitBits-1:0]    unit;
  logic                   is_halt;
  logic                   is_compute;
  logic                   is_branch;
  logic                   is_token;
  logic                   is_sync;
  logic                   is_issue;

  assign {payload, signals, waits, opcode} = microcode_data_i;

  assign compute = payload[$bits(compute_t)-1:0];
  assign branch  = payload[$bits(branch_t)-1:0];
  assign token   = payload[$bits(token_t)-1:0];
  assign unit    = UnitBits'(opcode - OpIssue);

  assign is_halt    = opcode == OpHalt;
  assign is_compute = opcode == OpCompute;
  assign is_branch  = opcode == OpBranch;
  assign is_token   = opcode == OpToken;
  assign is_sync    = opcode == OpSync;
  assign is_issue   = (opcode >= OpIssue) & (opcode < OpIssue + OpcodeBits'(Units));

  // Its execution.
  logic                   running_q;
  logic                   credits;
  logic                   execute;
  logic                   taken;
  logic [AddressBits-1:0] next_q;  // address of the instruction after the one at hand

  // The output register.
  logic                   offered_q;
  logic [UnitBits-1:0]    unit_q;
  logic [UnitBits-1:0]    turn_q;  // the unit that accepted the command before
  logic [CommandBits-1:0] command_q;
  logic [Queues-1:0]      waits_q;
  logic [Queues-1:0]      signals_q;
  logic                   able;
  logic                   accept;

  logic              place;
  logic              unfinished;
  logic [Queues-1:0] done_signals;

  assign running_o = running_q;

  assign execute = running_q & (is_compute | is_branch | is_token |
                                (is_issue & (~offered_q | accept)) |
                                (is_sync & ~offered_q & credits & (~unfinished | (signals == '0))) |
                                (is_halt & ~offered_q & ~unfinished));

  // While a command is offered, nothing else takes credits.
  assign credits = ((offered_q ? waits_q : waits) & ~credit_i) == '0;
  assign able    = offered_q & place & (~unfinished | (~Exclusive & (unit_q == turn_q)));
  assign accept  = (command_valid_o & command_ready_i) != '0;

  for (genvar u = 0; u < Units; u++) begin : gen_valid
    assign command_valid_o[u] = able & credits & (unit_q == UnitBits'(u));
  end

  assign command_o     = command_q;
  assign take_o        = accept ? waits_q : (execute & is_sync) ? waits : '0;
  assign sync_signal_o = (execute & is_sync) ? signals : '0;
  assign done_signal_o = (done_i != '0) ? done_signals : '0;
  assign busy_o        = unfinished;
  assign waiting_o     = ~credits & (offered_q | (running_q & is_sync));

  fifo #(
    .Depth        (Places),
    .Width        (Queues),
    .WriteWhenFull(1'b0)
  ) u_places (
    .clk_i,
    .rst_ni,
    .write_valid_i(accept),
    .write_ready_o(place),
    .write_data_i (signals_q),
    .read_valid_o (unfinished),
    .read_ready_i (done_i != '0),
    .read_data_o  (done_signals)
  );

  // Registers.
  logic [Units*Indexed*RegisterBits-1:0] field_numbers;
  logic [RegisterBits-1:0]               a_number;
  logic [RegisterBits-1:0]               b_number;
  logic [Indexed*RegisterBits-1:0]       numbers;
  logic [Indexed*32-1:0]                 values;
  logic [31:0]                           a;
  logic [31:0]                           b;
  logic [31:0]                           result;
  function_e                             operation;

  assign a_number = is_branch ? branch.a : is_token ? token.a : compute.a;
  assign b_number = is_branch ? branch.b : compute.b;
  assign numbers  = is_issue ? field_numbers[unit*Indexed*RegisterBits+:Indexed*RegisterBits] :
                               (Indexed*RegisterBits)'({b_number, a_number});

  register_file #(
    .Reads(Indexed)
  ) u_registers (
    .clk_i,
    .rst_ni,
    .start_i,
    .start_1_i     (prompt_length_i),
    .start_2_i     (max_tokens_i),
    .write_i       (running_q & is_compute),
    .write_number_i(compute.destination),
    .write_data_i  (result),
    .late_i        (token_read_o),
    .late_number_i (token.destination),
    .late_data_i   (token_data_i),
    .read_number_i (numbers),
    .read_data_o   (values)
  );

  assign token_read_o    = running_q & is_token;
  assign token_address_o = TokenBits'(values);

  assign a     = values[31:0];
  assign b     = is_branch ? (branch.from_register ? values[63:32] : branch.immediate) :
                             (compute.from_register ? values[63:32] : compute.immediate);
  assign taken = is_branch & ((a < b) ^ branch.not_less);

  assign operation = compute.name;

  always_comb begin
    case (operation)
      FnAdd:        result = a + b;
      FnSubtract:   result = a - b;
      FnMultiply:   result = a * b;
      FnShiftRight: result = a >> b;
      FnAnd:        result = a & b;
      default:      result = (a < b) ? a : b;
    endcase
  end

  // Commands.
  function automatic int command_bits(int of_unit);
    int bits;
    int field_end;
    bits = 0;
    for (int f = 0; f < Fields; f++) begin
      field_end = int'(Layout[(of_unit*Fields+f)*32+:12])
                  + int'(Layout[(of_unit*Fields+f)*32+12+:8]);
      bits      = (field_end > bits) ? field_end : bits;
    end
    return bits;
  endfunction

  logic [Units*CommandBits-1:0] commands;

  for (genvar u = 0; u < Units; u++) begin : gen_unit
    localparam int Bits = command_bits(u);

    for (genvar f = 0; f < Fields; f++) begin : gen_field
      localparam int Position = int'(Layout[(u*Fields+f)*32+:12]);
      localparam int Width    = int'(Layout[(u*Fields+f)*32+12+:8]);
      localparam int Number   = int'(Layout[(u*Fields+f)*32+20+:12]);

      if (f < Indexed) begin : gen_number
        assign field_numbers[(u*Indexed+f)*RegisterBits+:RegisterBits] =
            (Number != 0) ? payload[Number+:RegisterBits] : '0;
      end

      if (Number != 0) begin : gen_indexed
        assign commands[u*CommandBits+Position+:Width] =
            payload[Position+:Width] + Width'(values[f*32+:32]);
      end else if (Width != 0) begin : gen_plain
        assign commands[u*CommandBits+Position+:Width] = payload[Position+:Width];
      end
    end

    if (Bits < CommandBits) begin : gen_rest
      assign commands[u*CommandBits+Bits+:CommandBits-Bits] = '0;
    end
  end

  // Fetch: the address is formed in the cycle of execution.
  assign microcode_read_o    = start_i | (execute & ~is_halt);
  assign microcode_address_o = start_i ? '0 : taken ? AddressBits'(branch.target) : next_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      offered_q <= 1'b0;
      next_q    <= '0;
    end else begin
      running_q <= start_i | (running_q & ~(execute & is_halt));
      offered_q <= (execute & is_issue) | (offered_q & ~accept);
      if (microcode_read_o) begin
        next_q <= microcode_address_o + 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (execute && is_issue) begin
      unit_q    <= unit;
      command_q <= commands[unit*CommandBits+:CommandBits];
      waits_q   <= waits;
      signals_q <= signals;
    end
    if (accept) begin
      turn_q <= unit_q;
    end
  end

endmodule
