// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads beats of off-chip memory into an SRAM, through AXI4 read channels in lockstep; several commands in flight.
//
// The command is packed from its lowest bit: memory (beat of off-chip memory), sram (which), address (in beats of that
// SRAM), beats (at least 1). Beat i is PortBytes long; channel c holds its c-th part at byte i * PortBytes / Channels
// of its own address space.
//
// A command is split into bursts of at most 16 beats that do not cross a multiple of 16 beats. Accepted in cycle a, its
// first burst is requested from cycle a + 1 on, one burst a cycle, while fewer than 16 are outstanding; the next
// command is taken in the cycle after the last request. A beat is taken once every channel has its part, and written
// in that cycle; done_o marks the last of each command. error_o stands from the first answer that is an error.

module load #(
  parameter  int PortBytes          = 16,
  parameter  int Channels           = 1,
  parameter  int MemoryBits         = 26,
  parameter  int Srams              = 3,
  parameter  int AddressBits        = 16,
  parameter  int BeatsBits          = 16,
  localparam int SramBits           = (Srams > 1) ? $clog2(Srams) : 1,
  localparam int PortBits           = PortBytes * 8,
  localparam int ChannelBytes       = PortBytes / Channels,
  localparam int ChannelAddressBits = MemoryBits + $clog2(ChannelBytes),
  localparam int CommandBits        = MemoryBits + SramBits + AddressBits + BeatsBits
) (
  input  logic                                   clk_i,
  input  logic                                   rst_ni,
  input  logic                                   command_valid_i,
  output logic                                   command_ready_o,
  input  logic [CommandBits-1:0]                 command_i,
  output logic                                   done_o,
  output logic                                   error_o,
  // Off-chip memory; of every signal, channel 0 is lowest.
  output logic [Channels-1:0]                    axi_arvalid_o,
  input  logic [Channels-1:0]                    axi_arready_i,
  output logic [Channels*ChannelAddressBits-1:0] axi_araddr_o,
  output logic [Channels*8-1:0]                  axi_arlen_o,
  output logic [Channels*3-1:0]                  axi_arsize_o,
  output logic [Channels*2-1:0]                  axi_arburst_o,
  input  logic [Channels-1:0]                    axi_rvalid_i,
  output logic [Channels-1:0]                    axi_rready_o,
  input  logic [PortBits-1:0]                    axi_rdata_i,
  input  logic [Channels-1:0]                    axi_rlast_i,
  input  logic [Channels*2-1:0]                  axi_rresp_i,
  // SRAMs.
  output logic [Srams-1:0]                       sram_write_o,
  output logic [AddressBits-1:0]                 sram_address_o,
  output logic [PortBits-1:0]                    sram_data_o
);

  localparam int         Outstanding = 16;    // bursts
  localparam int         BurstBits   = 4;     // 16 beats
  localparam logic [1:0] Increment   = 2'b01; // AXI burst type
  localparam int         PlaceBits   = 1 + SramBits + AddressBits;

  // The command whose bursts are being requested.
  logic                   active_q;
  logic [MemoryBits-1:0]  memory_q;
  logic [SramBits-1:0]    sram_q;
  logic [AddressBits-1:0] address_q;
  logic [BeatsBits-1:0]   beats_q;
  logic [Channels-1:0]    asked_q;  // the channels that have taken the burst on offer

  logic                 accept;
  logic                 free;
  logic                 request;
  logic                 final_burst;
  logic [BurstBits-1:0] before_boundary;  // beats to the next multiple of 16, less one
  logic [BurstBits-1:0] length;           // beats of the burst, less one

  assign command_ready_o = ~active_q;
  assign accept          = command_valid_i & command_ready_o;
  assign before_boundary = ~memory_q[BurstBits-1:0];
  assign final_burst     = beats_q <= BeatsBits'(before_boundary) + 1'b1;
  assign length          = final_burst ? BurstBits'(beats_q - 1'b1) : before_boundary;

  assign axi_arvalid_o = {Channels{active_q & free}} & ~asked_q;
  assign axi_araddr_o  = {Channels{ChannelAddressBits'(memory_q) << $clog2(ChannelBytes)}};
  assign axi_arlen_o   = {Channels{8'(length)}};
  assign axi_arsize_o  = {Channels{3'($clog2(ChannelBytes))}};
  assign axi_arburst_o = {Channels{Increment}};
  assign request       = active_q & free & ((asked_q | axi_arready_i) == '1);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      asked_q  <= '0;
    end else begin
      active_q <= accept | (active_q & ~(request & final_burst));
      asked_q  <= request ? '0 : asked_q | (axi_arvalid_o & axi_arready_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      {beats_q, address_q, sram_q, memory_q} <= command_i;
    end else if (request) begin
      memory_q  <= memory_q + MemoryBits'(length) + 1'b1;
      address_q <= address_q + AddressBits'(length) + 1'b1;
      beats_q   <= beats_q - BeatsBits'(length) - 1'b1;
    end
  end

  // Outstanding bursts: where their beats go.
  logic                   outstanding;
  logic [SramBits-1:0]    burst_sram;
  logic [AddressBits-1:0] burst_address;
  logic                   burst_final;
  logic                   beat;
  logic                   last;
  logic [BurstBits-1:0]   beat_q;

  fifo #(
    .Depth        (Outstanding),
    .Width        (PlaceBits),
    .WriteWhenFull(1'b0)
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .write_valid_i(request),
    .write_ready_o(free),
    .write_data_i ({final_burst, address_q, sram_q}),
    .read_valid_o (outstanding),
    .read_ready_i (last),
    .read_data_o  ({burst_final, burst_address, burst_sram})
  );

  assign beat           = outstanding & (axi_rvalid_i == '1);
  assign last           = beat & (axi_rlast_i == '1);
  assign done_o         = last & burst_final;
  assign axi_rready_o   = {Channels{beat}};
  assign sram_address_o = burst_address + AddressBits'(beat_q);
  assign sram_data_o    = axi_rdata_i;

  for (genvar i = 0; i < Srams; i++) begin : gen_sram
    assign sram_write_o[i] = beat & (burst_sram == SramBits'(i));
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      beat_q  <= '0;
      error_o <= 1'b0;
    end else begin
      if (beat) begin
        beat_q <= last ? '0 : beat_q + 1'b1;
      end
      error_o <= error_o | (beat & (axi_rresp_i != '0));
    end
  end

endmodule
