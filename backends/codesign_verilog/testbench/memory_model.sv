// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Off-chip memory behind AXI4 read and write channels, for simulation: latency, bandwidth, refresh, random stalls.
//
// Beat i of the memory is word i; channel c gives its c-th part, at byte i * PortBytes / Channels of the channel's
// addresses. A burst requested in cycle c gives its first beat in c + latency_i (at least 1) at the earliest. Counting
// only cycles without refresh, beat j comes floor(j * PortBytes / rate) after the first, and a first beat at least
// ceil(PortBytes / rate) after the last beat of the burst before; rate is the lesser of rate_i and PortBytes. The
// first refresh_cycles_i of every refresh_interval_i cycles (0: none), counted from the cycle of start_i, give no beat.
//
// Beats are written at the same pace, apart from those read: a burst's first may be taken in the cycle after its
// request, and the burst is answered latency_i cycles after its last. Who reads a beat has the answer to its write.
// A burst that begins behind the last word, or is not of whole words at rising addresses, is answered with errors, as
// is one that is written with more or fewer beats than requested.
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
  output logic [Channels*2-1:0]           axi_rresp_o,
  input  logic [Channels-1:0]             axi_awvalid_i,
  output logic [Channels-1:0]             axi_awready_o,
  input  logic [Channels*AddressBits-1:0] axi_awaddr_i,
  input  logic [Channels*8-1:0]           axi_awlen_i,
  input  logic [Channels*3-1:0]           axi_awsize_i,
  input  logic [Channels*2-1:0]           axi_awburst_i,
  input  logic [Channels-1:0]             axi_wvalid_i,
  output logic [Channels-1:0]             axi_wready_o,
  input  logic [PortBits-1:0]             axi_wdata_i,
  input  logic [PortBytes-1:0]            axi_wstrb_i,
  input  logic [Channels-1:0]             axi_wlast_i,
  output logic [Channels-1:0]             axi_bvalid_o,
  input  logic [Channels-1:0]             axi_bready_i,
  output logic [Channels*2-1:0]           axi_bresp_o
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

  // A burst of whole words, at rising addresses, that begins in the memory.
  function automatic logic is_burst(logic [AddressBits-1:0] address, logic [2:0] size,
                                    logic [1:0] burst);
    logic [BeatBits-1:0] first;
    first = BeatBits'(address >> ByteBits);
    return (AddressBits'(first) << ByteBits == address) & (size == 3'(ByteBits)) &
           (burst == Increment) & (64'(first) < 64'(Beats));
  endfunction

  for (genvar c = 0; c < Channels; c++) begin : gen_channel
    logic                error;
    logic [BeatBits-1:0] beat;

    memory_channel #(
      .PortBytes  (PortBytes),
      .AddressBits(BeatBits)
    ) u_reads (
      .clk_i,
      .rst_ni,
      .cycle_i        (cycle_q),
      .refresh_i      (refresh),
      .latency_i,
      .rate_i         (rate),
      .stall_i        ({random_q[(11*c+19)%32], random_q[(11*c+7)%32]}),
      .burst_valid_i  (axi_arvalid_i[c]),
      .burst_ready_o  (axi_arready_o[c]),
      .burst_address_i(BeatBits'(axi_araddr_i[c*AddressBits+:AddressBits] >> ByteBits)),
      .burst_length_i (axi_arlen_i[c*8+:8]),
      .burst_error_i  (~is_burst(axi_araddr_i[c*AddressBits+:AddressBits], axi_arsize_i[c*3+:3],
                                 axi_arburst_i[c*2+:2])),
      .beat_valid_o   (axi_rvalid_o[c]),
      .beat_ready_i   (axi_rready_i[c]),
      .beat_address_o (beat),
      .beat_last_o    (axi_rlast_o[c]),
      .beat_error_o   (error)
    );

    assign axi_rdata_o[c*ChannelBits+:ChannelBits] =
        beats[IndexBits'(beat)][c*ChannelBits+:ChannelBits];
    assign axi_rresp_o[c*2+:2]                     = {error, 1'b0};  // SLVERR

    logic                written;
    logic [BeatBits-1:0] written_beat;
    logic                written_last;
    logic                written_error;
    logic                length_error_q;  // of the burst at hand, before its last beat
    logic                length_error;
    logic                answer_error;

    memory_channel #(
      .PortBytes  (PortBytes),
      .AddressBits(BeatBits)
    ) u_writes (
      .clk_i,
      .rst_ni,
      .cycle_i        (cycle_q),
      .refresh_i      (refresh),
      .latency_i      (1),
      .rate_i         (rate),
      .stall_i        ({random_q[(11*c+28)%32], random_q[(11*c+13)%32]}),
      .burst_valid_i  (axi_awvalid_i[c]),
      .burst_ready_o  (axi_awready_o[c]),
      .burst_address_i(BeatBits'(axi_awaddr_i[c*AddressBits+:AddressBits] >> ByteBits)),
      .burst_length_i (axi_awlen_i[c*8+:8]),
      .burst_error_i  (~is_burst(axi_awaddr_i[c*AddressBits+:AddressBits], axi_awsize_i[c*3+:3],
                                 axi_awburst_i[c*2+:2])),
      .beat_valid_o   (axi_wready_o[c]),
      .beat_ready_i   (axi_wvalid_i[c]),
      .beat_address_o (written_beat),
      .beat_last_o    (written_last),
      .beat_error_o   (written_error)
    );

    assign written      = axi_wvalid_i[c] & axi_wready_o[c];
    assign length_error = length_error_q | (axi_wlast_i[c] != written_last);

    memory_answers u_answers (
      .clk_i,
      .rst_ni,
      .cycle_i  (cycle_q),
      .latency_i,
      .stall_i  (random_q[(11*c+22)%32]),
      .burst_i  (written & written_last),
      .error_i  (written_error | length_error),
      .bvalid_o (axi_bvalid_o[c]),
      .bready_i (axi_bready_i[c]),
      .berror_o (answer_error)
    );

    assign axi_bresp_o[c*2+:2] = {answer_error, 1'b0};

    // Address bits beyond the memory's end: an error, whatever beat is read or written.
    logic unused_beats;

    assign unused_beats = ^{beat, written_beat};

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        length_error_q <= 1'b0;
      end else if (written) begin
        length_error_q <= length_error & ~written_last;
      end
    end

    always @(posedge clk_i) begin
      if (written && !written_error) begin
        for (int i = 0; i < ChannelBytes; i++) begin
          if (axi_wstrb_i[c*ChannelBytes+i]) begin
            beats[IndexBits'(written_beat)][c*ChannelBits+i*8+:8] <=
                axi_wdata_i[c*ChannelBits+i*8+:8];
          end
        end
      end
    end
  end

endmodule
