// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Stores beats of an SRAM into off-chip memory, through AXI4 write channels in lockstep: the way back of load.
//
// The command is packed from its lowest bit: memory (beat of off-chip memory), sram (which), address (in beats of that
// SRAM), beats (at least 1). Beat i is PortBytes long; channel c holds its c-th part at byte i * PortBytes / Channels
// of its own address space.
//
// A command is split into bursts of at most 16 beats that do not cross a multiple of 16 beats. Accepted in cycle a, its
// first burst is requested from cycle a + 1 on, while fewer than 16 are unanswered; its beats follow from the cycle
// after the request on, and the next burst is requested from the cycle after the last beat on, in which the next
// command is taken if there is none. SRAMs answer a read in the next cycle and hold the answer. done_o marks the answer
// to a command's last burst. error_o stands from the first answer that is an error.

module store #(
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
  output logic [Channels-1:0]                    axi_awvalid_o,
  input  logic [Channels-1:0]                    axi_awready_i,
  output logic [Channels*ChannelAddressBits-1:0] axi_awaddr_o,
  output logic [Channels*8-1:0]                  axi_awlen_o,
  output logic [Channels*3-1:0]                  axi_awsize_o,
  output logic [Channels*2-1:0]                  axi_awburst_o,
  output logic [Channels-1:0]                    axi_wvalid_o,
  input  logic [Channels-1:0]                    axi_wready_i,
  output logic [PortBits-1:0]                    axi_wdata_o,
  output logic [PortBytes-1:0]                   axi_wstrb_o,
  output logic [Channels-1:0]                    axi_wlast_o,
  input  logic [Channels-1:0]                    axi_bvalid_i,
  output logic [Channels-1:0]                    axi_bready_o,
  input  logic [Channels*2-1:0]                  axi_bresp_i,
  // SRAMs.
  output logic [Srams-1:0]                       sram_read_o,
  output logic [AddressBits-1:0]                 sram_address_o,
  input  logic [Srams*PortBits-1:0]              sram_data_i
);

  localparam int         Outstanding = 16;    // bursts
  localparam int         BurstBits   = 4;     // 16 beats
  localparam logic [1:0] Increment   = 2'b01; // AXI burst type

  typedef enum logic [1:0] {
    StIdle,
    StRequest,
    StBeats
  } state_e;

  state_e                 state_q;
  logic [MemoryBits-1:0]  memory_q;   // of the burst
  logic [SramBits-1:0]    sram_q;
  logic [AddressBits-1:0] address_q;  // of the next beat to read
  logic [BeatsBits-1:0]   beats_q;    // from the burst on
  logic [BurstBits-1:0]   left_q;     // beats of the burst behind the one that stands
  logic [Channels-1:0]    taken_q;    // the channels that have taken what is on offer

  logic                   accept;
  logic                   free;
  logic                   request;
  logic                   beat;
  logic                   last;
  logic                   final_burst;
  logic [BurstBits-1:0]   before_boundary;  // beats to the next multiple of 16, less one
  logic [BurstBits-1:0]   length;           // beats of the burst, less one

  assign command_ready_o = state_q == StIdle;
  assign accept          = command_valid_i & command_ready_o;
  assign before_boundary = ~memory_q[BurstBits-1:0];
  assign final_burst     = beats_q <= BeatsBits'(before_boundary) + 1'b1;
  assign length          = final_burst ? BurstBits'(beats_q - 1'b1) : before_boundary;

  assign axi_awvalid_o = {Channels{(state_q == StRequest) & free}} & ~taken_q;
  assign axi_awaddr_o  = {Channels{ChannelAddressBits'(memory_q) << $clog2(ChannelBytes)}};
  assign axi_awlen_o   = {Channels{8'(length)}};
  assign axi_awsize_o  = {Channels{3'($clog2(ChannelBytes))}};
  assign axi_awburst_o = {Channels{Increment}};
  assign request       = (state_q == StRequest) & free & ((taken_q | axi_awready_i) == '1);

  assign axi_wvalid_o = {Channels{state_q == StBeats}} & ~taken_q;
  assign axi_wdata_o  = sram_data_i[sram_q*PortBits+:PortBits];
  assign axi_wstrb_o  = '1;
  assign axi_wlast_o  = {Channels{left_q == '0}};
  assign beat         = (state_q == StBeats) & ((taken_q | axi_wready_i) == '1);
  assign last         = beat & (left_q == '0);

  // The beat that stands next is read in the cycle before.
  assign sram_address_o = address_q;

  for (genvar i = 0; i < Srams; i++) begin : gen_sram
    assign sram_read_o[i] = (request | (beat & ~last)) & (sram_q == SramBits'(i));
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      taken_q <= '0;
    end else begin
      taken_q <= (request | beat) ? '0 :
                 taken_q | (axi_awvalid_o & axi_awready_i) | (axi_wvalid_o & axi_wready_i);
      case (state_q)
        StIdle:    if (accept) state_q <= StRequest;
        StRequest: if (request) state_q <= StBeats;
        default:   if (last) state_q <= final_burst ? StIdle : StRequest;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      {beats_q, address_q, sram_q, memory_q} <= command_i;
    end else if (|sram_read_o) begin
      address_q <= address_q + 1'b1;
    end
    if (request) begin
      left_q <= length;
    end else if (beat) begin
      left_q <= left_q - 1'b1;
    end
    if (last) begin
      memory_q <= memory_q + MemoryBits'(length) + 1'b1;
      beats_q  <= beats_q - BeatsBits'(length) - 1'b1;
    end
  end

  // Unanswered bursts: which are their command's last.
  logic unanswered;
  logic burst_final;
  logic answer;

  fifo #(
    .Depth        (Outstanding),
    .Width        (1),
    .WriteWhenFull(1'b0)
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .write_valid_i(request),
    .write_ready_o(free),
    .write_data_i (final_burst),
    .read_valid_o (unanswered),
    .read_ready_i (answer),
    .read_data_o  (burst_final)
  );

  assign answer       = unanswered & (axi_bvalid_i == '1);
  assign done_o       = answer & burst_final;
  assign axi_bready_o = {Channels{answer}};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      error_o <= 1'b0;
    end else begin
      error_o <= error_o | (answer & (axi_bresp_i != '0));
    end
  end

endmodule
