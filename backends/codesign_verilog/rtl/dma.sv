// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies beats between off-chip memory and the on-chip memories, one command at a time.
//
// The command is packed from its lowest bit: memory_address, sram_address (both in beats of PortBytes), beats (at
// least 1), sram (which memory), store (0 memory to SRAM, 1 SRAM to memory). Off chip, one request names the address,
// the beats and the direction; its beats follow, each taken by valid and ready. On chip every memory has a port of
// PortBytes; a read answers in the next cycle and holds the answer.
// Accepted in cycle a, the request stands from cycle a + 1; idle follows the cycle of the last beat.

module dma #(
  parameter  int PortBytes         = 16,
  parameter  int Srams             = 5,
  parameter  int MemoryAddressBits = 26,
  parameter  int SramAddressBits   = 16,
  parameter  int BeatsBits         = 20,
  localparam int SramBits          = (Srams > 1) ? $clog2(Srams) : 1,
  localparam int PortBits          = PortBytes * 8,
  localparam int CommandBits       = MemoryAddressBits + SramAddressBits + BeatsBits + SramBits + 1
) (
  input  logic                         clk_i,
  input  logic                         rst_ni,
  input  logic                         command_valid_i,
  output logic                         command_ready_o,
  input  logic [CommandBits-1:0]       command_i,
  output logic                         idle_o,
  // Off-chip memory.
  output logic                         request_valid_o,
  input  logic                         request_ready_i,
  output logic [MemoryAddressBits-1:0] request_address_o,
  output logic [BeatsBits-1:0]         request_beats_o,
  output logic                         request_write_o,
  input  logic                         read_valid_i,
  output logic                         read_ready_o,
  input  logic [PortBits-1:0]          read_data_i,
  output logic                         write_valid_o,
  input  logic                         write_ready_i,
  output logic [PortBits-1:0]          write_data_o,
  // On-chip memories.
  output logic [Srams-1:0]             sram_write_o,
  output logic [Srams-1:0]             sram_read_o,
  output logic [SramAddressBits-1:0]   sram_address_o,
  output logic [PortBits-1:0]          sram_write_data_o,
  input  logic [Srams*PortBits-1:0]    sram_read_data_i
);

  typedef enum logic [1:0] {
    StIdle,
    StRequest,
    StTransfer
  } state_e;

  state_e                       state_q;
  logic [MemoryAddressBits-1:0] memory_address_q;
  logic [SramAddressBits-1:0]   sram_address_q;
  logic [BeatsBits-1:0]         beats_q;   // still to cross the memory port
  logic [BeatsBits-1:0]         unread_q;  // still to be read from the SRAM by a store
  logic [SramBits-1:0]          sram_q;
  logic                         store_q;
  logic                         loaded_q;  // the SRAM's output holds a beat not yet taken

  logic accept;
  logic beat;
  logic sram_write;
  logic sram_read;

  assign command_ready_o = state_q == StIdle;
  assign idle_o          = state_q == StIdle;
  assign accept          = command_valid_i & command_ready_o;

  assign request_valid_o   = state_q == StRequest;
  assign request_address_o = memory_address_q;
  assign request_beats_o   = beats_q;
  assign request_write_o   = store_q;

  assign read_ready_o  = (state_q == StTransfer) & ~store_q;
  assign write_valid_o = (state_q == StTransfer) & loaded_q;
  assign beat          = (read_valid_i & read_ready_o) | (write_valid_o & write_ready_i);

  // A store reads its next beat as soon as the one that the SRAM holds is taken.
  assign sram_write = read_valid_i & read_ready_o;
  assign sram_read  = (state_q != StIdle) & store_q & (unread_q != '0) & (~loaded_q | beat);

  assign sram_address_o    = sram_address_q;
  assign sram_write_data_o = read_data_i;
  assign write_data_o      = sram_read_data_i[sram_q*PortBits+:PortBits];

  for (genvar i = 0; i < Srams; i++) begin : gen_sram
    assign sram_write_o[i] = sram_write & (sram_q == SramBits'(i));
    assign sram_read_o[i]  = sram_read & (sram_q == SramBits'(i));
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= StIdle;
      loaded_q <= 1'b0;
    end else begin
      loaded_q <= sram_read | (loaded_q & ~beat);
      case (state_q)
        StIdle:     if (accept) state_q <= StRequest;
        StRequest:  if (request_ready_i) state_q <= StTransfer;
        StTransfer: if (beat && beats_q == BeatsBits'(1)) state_q <= StIdle;
        default:    state_q <= StIdle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      {store_q, sram_q, beats_q, sram_address_q, memory_address_q} <= command_i;
      unread_q <= command_i[MemoryAddressBits+SramAddressBits+:BeatsBits];
    end else begin
      if (sram_write || sram_read) begin
        sram_address_q <= sram_address_q + 1'b1;
      end
      if (sram_read) begin
        unread_q <= unread_q - 1'b1;
      end
      if (beat) begin
        beats_q <= beats_q - 1'b1;
      end
    end
  end

endmodule
