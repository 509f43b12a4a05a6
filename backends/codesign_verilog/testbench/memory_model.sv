// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Off-chip memory behind AXI4 read channels, for simulation: latency, bandwidth, refresh, random stalls.
//
// Beat i of the memory is word i; channel c gives its c-th part, at byte i * PortBytes / Channels of the channel's
// addresses. A burst requested in cycle c gives its first beat in c + latency_i (at least 1) at the earliest. Counting
// only cycles without refresh, beat j comes floor(j * PortBytes / rate) after the first, and a first beat at least
// ceil(PortBytes / rate) after the last beat of the burst before; rate is the lesser of rate_i and PortBytes. The
// first refresh_cycles_i of every refresh_interval_i cycles (0: none), counted from the cycle of start_i, give no beat.
// A burst that begins behind the last word, or is not of whole words at rising addresses, is answered with errors.
// A stall_seed_i other than 0 makes every handshake wait at random, each channel's by itself.

module memory_model #(
  parameter  int Beats       = 4096,
  parameter  int PortBytes   = 16,
  parameter  int Channels    = 1,
  parameter  int AddressBits = 26,            // of a channel, in bytes
  localparam int PortBits    = PortBytes * 8
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  input  logic                            start_i,
  input  int                              latency_i,
  input  int                              rate_i,
  input  int                              refresh_interval_i,
  input  int                              refresh_cycles_i,
  input  int                              stall_seed_i,
  input  logic [Channels-1:0]             axi_arvalid_i,
  output logic [Channels-1:0]             axi_arready_o,
  input  logic [Channels*AddressBits-1:0] axi_araddr_i,
  input  logic [Channels*8-1:0]           axi_arlen_i,
  input  logic [Channels*3-1:0]           axi_arsize_i,
  input  logic [Channels*2-1:0]           axi_arburst_i,
  output logic [Channels-1:0]             axi_rvalid_o,
  input  logic [Channels-1:0]             axi_rready_i,
  output logic [PortBits-1:0]             axi_rdata_o,
  output logic [Channels-1:0]             axi_rlast_o,
  output logic [Channels*2-1:0]           axi_rresp_o
);

  localparam int ChannelBytes = PortBytes / Channels;
  localparam int ByteBits     = $clog2(ChannelBytes);
  localparam int ChannelBits  = ChannelBytes * 8;
  localparam int BeatBits     = AddressBits - ByteBits;

  localparam logic [1:0] Increment = 2'b01;  // AXI burst type

  localparam int IndexBits = (Beats > 1) ? $clog2(Beats) : 1;

  logic [PortBits-1:0] beats [Beats];  // loaded by the testbench

  // Random stalls: a 32-bit xorshift, the same stream in every simulator. A zero state stays zero and never stalls.
  logic [31:0] random_q;
  logic        seeded_q;

  function automatic logic [31:0] xorshift(logic [31:0] value);
    logic [31:0] x;
    x = value;
    x = x ^ (x << 13);
    x = x ^ (x >> 17);
    x = x ^ (x << 5);
    return x;
  endfunction

  int   cycle_q;
  int   phase_q;  // of the refresh interval
  int   phase;
  int   rate;
  logic refresh;

  assign phase   = start_i ? 0 : phase_q;
  assign refresh = phase < refresh_cycles_i;
  assign rate    = (rate_i < PortBytes) ? rate_i : PortBytes;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      random_q <= '0;
      seeded_q <= 1'b0;
      cycle_q  <= 0;
      phase_q  <= 0;
    end else begin
      random_q <= xorshift(seeded_q ? random_q : stall_seed_i);
      seeded_q <= 1'b1;
      cycle_q  <= cycle_q + 1;
      phase_q  <= (phase + 1 == refresh_interval_i) ? 0 : phase + 1;
    end
  end

  for (genvar c = 0; c < Channels; c++) begin : gen_channel
    logic [AddressBits-1:0] address;
    logic [BeatBits-1:0]    first_beat;
    logic                   whole;
    logic                   error;
    logic [BeatBits-1:0]    beat;

    assign address    = axi_araddr_i[c*AddressBits+:AddressBits];
    assign first_beat = BeatBits'(address >> ByteBits);
    assign whole      = (AddressBits'(first_beat) << ByteBits == address) & (axi_arsize_i[c*3+:3] == 3'(ByteBits)) &
                        (axi_arburst_i[c*2+:2] == Increment);

    memory_channel #(
      .PortBytes  (PortBytes),
      .AddressBits(BeatBits)
    ) u_channel (
      .clk_i,
      .rst_ni,
      .cycle_i  (cycle_q),
      .refresh_i(refresh),
      .latency_i,
      .rate_i   (rate),
      .stall_i  ({random_q[(11*c+19)%32], random_q[(11*c+7)%32]}),
      .arvalid_i(axi_arvalid_i[c]),
      .arready_o(axi_arready_o[c]),
      .araddr_i (first_beat),
      .arlen_i  (axi_arlen_i[c*8+:8]),
      .arerror_i(~whole | (64'(first_beat) >= 64'(Beats))),
      .rvalid_o (axi_rvalid_o[c]),
      .rready_i (axi_rready_i[c]),
      .raddr_o  (beat),
      .rlast_o  (axi_rlast_o[c]),
      .rerror_o (error)
    );

    logic unused_beat;  // its bits beyond the memory's end: an error, whatever is read

    assign unused_beat = ^beat;

    assign axi_rdata_o[c*ChannelBits+:ChannelBits] = beats[IndexBits'(beat)][c*ChannelBits+:ChannelBits];
    assign axi_rresp_o[c*2+:2]                     = {error, 1'b0};  // SLVERR
  end

endmodule
