// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A memory of one write port and two synchronous read ports: two static RAMs that hold the same words.
//
// Each read port is as that of sram.

module sram_two_read #(
  parameter  int Depth       = 1024,
  parameter  int Width       = 32,
  localparam int AddressBits = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                   clk_i,
  input  logic                   write_i,
  input  logic [AddressBits-1:0] write_address_i,
  input  logic [Width-1:0]       write_data_i,
  input  logic                   a_read_i,
  input  logic [AddressBits-1:0] a_address_i,
  output logic [Width-1:0]       a_data_o,
  input  logic                   b_read_i,
  input  logic [AddressBits-1:0] b_address_i,
  output logic [Width-1:0]       b_data_o
);

  sram #(
    .Depth(Depth),
    .Width(Width)
  ) u_a (
    .clk_i,
    .write_i,
    .write_address_i,
    .write_data_i,
    .read_i        (a_read_i),
    .read_address_i(a_address_i),
    .read_data_o   (a_data_o)
  );

  sram #(
    .Depth(Depth),
    .Width(Width)
  ) u_b (
    .clk_i,
    .write_i,
    .write_address_i,
    .write_data_i,
    .read_i        (b_read_i),
    .read_address_i(b_address_i),
    .read_data_o   (b_data_o)
  );

endmodule
