// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A memory of one write port and two synchronous read ports: two memories that hold the same words.
//
// Words may be written in another width than they are read; each read port is as that of sram_banked.

module sram_two_read #(
  parameter  int Bits             = 32768,  // capacity, a multiple of both widths
  parameter  int WriteWidth       = 32,
  parameter  int ReadWidth        = 32,
  localparam int WriteDepth       = Bits / WriteWidth,
  localparam int ReadDepth        = Bits / ReadWidth,
  localparam int WriteAddressBits = (WriteDepth > 1) ? $clog2(WriteDepth) : 1,
  localparam int ReadAddressBits  = (ReadDepth > 1) ? $clog2(ReadDepth) : 1
) (
  input  logic                        clk_i,
  input  logic                        write_i,
  input  logic [WriteAddressBits-1:0] write_address_i,
  input  logic [WriteWidth-1:0]       write_data_i,
  input  logic                        a_read_i,
  input  logic [ReadAddressBits-1:0]  a_address_i,
  output logic [ReadWidth-1:0]        a_data_o,
  input  logic                        b_read_i,
  input  logic [ReadAddressBits-1:0]  b_address_i,
  output logic [ReadWidth-1:0]        b_data_o
);

  sram_banked #(
    .Bits      (Bits),
    .WriteWidth(WriteWidth),
    .ReadWidth (ReadWidth)
  ) u_a (
    .clk_i,
    .write_i,
    .write_address_i,
    .write_data_i,
    .read_i        (a_read_i),
    .read_address_i(a_address_i),
    .read_data_o   (a_data_o)
  );

  sram_banked #(
    .Bits      (Bits),
    .WriteWidth(WriteWidth),
    .ReadWidth (ReadWidth)
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
