// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Off-chip memory behind a chip's memory port, for simulation: latency, bandwidth, random stalls.
//
// One request at a time. Where nothing holds it back, beat n crosses latency_i + ceil(n * PortBytes / rate) cycles
// after the cycle that took the request, rate being the lesser of bytes_per_cycle_i and PortBytes. latency_i is at
// least 1. A stall_seed_i other than 0 makes every handshake wait at random.

module memory_model #(
  parameter  int Beats       = 4096,
  parameter  int PortBytes   = 16,
  parameter  int AddressBits = 26,
  parameter  int BeatsBits   = 20,
  localparam int PortBits    = PortBytes * 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  int                     latency_i,
  input  int                     bytes_per_cycle_i,
  input  int                     stall_seed_i,
  input  logic                   request_valid_i,
  output logic                   request_ready_o,
  input  logic [AddressBits-1:0] request_address_i,
  input  logic [BeatsBits-1:0]   request_beats_i,
  input  logic                   request_write_i,
  output logic                   read_valid_o,
  input  logic                   read_ready_i,
  output logic [PortBits-1:0]    read_data_o,
  input  logic                   write_valid_i,
  output logic                   write_ready_o,
  input  logic [PortBits-1:0]    write_data_i
);

  logic [PortBits-1:0] beats [Beats];  // loaded and read by the testbench

  // Random stalls: a 32-bit xorshift, the same stream in every simulator. A zero state stays zero and never stalls.
  logic [31:0] random_q;
  logic        seeded_q;
  logic        stall;

  function automatic logic [31:0] xorshift(logic [31:0] value);
    logic [31:0] x;
    x = value;
    x = x ^ (x << 13);
    x = x ^ (x >> 17);
    x = x ^ (x << 5);
    return x;
  endfunction

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      random_q <= '0;
      seeded_q <= 1'b0;
    end else begin
      random_q <= xorshift(seeded_q ? random_q : stall_seed_i);
      seeded_q <= 1'b1;
    end
  end

  assign stall = random_q[7];

  logic busy_q;
  logic writing_q;
  int   address_q;
  int   left_q;
  int   wait_q;
  int   credit_q;  // bytes that may cross
  int   rate;
  logic accept;
  logic open;
  logic beat;

  assign rate            = (bytes_per_cycle_i < PortBytes) ? bytes_per_cycle_i : PortBytes;
  assign request_ready_o = ~busy_q & ~stall;
  assign accept          = request_valid_i & request_ready_o;
  assign open            = busy_q & (wait_q == 0) & (credit_q >= PortBytes) & ~stall;
  assign read_valid_o    = open & ~writing_q;
  assign write_ready_o   = open & writing_q;
  assign read_data_o     = beats[address_q];
  assign beat            = (read_valid_o & read_ready_i) | (write_ready_o & write_valid_i);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q    <= 1'b0;
      writing_q <= 1'b0;
      address_q <= 0;
      left_q    <= 0;
      wait_q    <= 0;
      credit_q  <= 0;
    end else if (accept) begin
      busy_q    <= 1'b1;
      writing_q <= request_write_i;
      address_q <= int'(request_address_i);
      left_q    <= int'(request_beats_i);
      wait_q    <= latency_i - 1;
      credit_q  <= PortBytes;
    end else if (wait_q != 0) begin
      wait_q <= wait_q - 1;
    end else if (beat) begin
      busy_q    <= left_q != 1;
      left_q    <= left_q - 1;
      address_q <= address_q + 1;
      credit_q  <= credit_q + rate - PortBytes;
    end else if (credit_q < PortBytes) begin
      credit_q <= credit_q + rate;
    end
  end

  always_ff @(posedge clk_i) begin
    if (write_ready_o && write_valid_i) begin
      beats[address_q] <= write_data_i;
    end
  end

endmodule
