// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A memory written in one word width and read in another, of banks as wide as the narrower of the two.
//
// Both ports count addresses in their own words; word 0 of the narrower port is the lowest part of word 0 of the
// wider. The widths are in power-of-two ratio. read_data_o holds its value until the next read.

module sram_banked #(
  parameter  int Bits             = 32768,  // capacity, a multiple of both widths
  parameter  int WriteWidth       = 128,
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
  input  logic                        read_i,
  input  logic [ReadAddressBits-1:0]  read_address_i,
  output logic [ReadWidth-1:0]        read_data_o
);

  if (WriteWidth == ReadWidth) begin : gen_equal
    sram #(
      .Depth(WriteDepth),
      .Width(WriteWidth)
    ) u_sram (
      .clk_i,
      .write_i,
      .write_address_i,
      .write_data_i,
      .read_i,
      .read_address_i,
      .read_data_o
    );

  end else if (WriteWidth > ReadWidth) begin : gen_wide_write
    localparam int Banks    = WriteWidth / ReadWidth;
    localparam int BankBits = $clog2(Banks);

    logic [BankBits-1:0]   bank_q;  // whose word stands at read_data_o
    logic [WriteWidth-1:0] bank_data;

    for (genvar bank = 0; bank < Banks; bank++) begin : gen_bank
      sram #(
        .Depth(WriteDepth),
        .Width(ReadWidth)
      ) u_sram (
        .clk_i,
        .write_i,
        .write_address_i,
        .write_data_i  (write_data_i[bank*ReadWidth+:ReadWidth]),
        .read_i        (read_i & (read_address_i[BankBits-1:0] == BankBits'(bank))),
        .read_address_i(WriteAddressBits'(read_address_i >> BankBits)),
        .read_data_o   (bank_data[bank*ReadWidth+:ReadWidth])
      );
    end

    always_ff @(posedge clk_i) begin
      if (read_i) begin
        bank_q <= read_address_i[BankBits-1:0];
      end
    end

    assign read_data_o = bank_data[bank_q*ReadWidth+:ReadWidth];

  end else begin : gen_wide_read
    localparam int Banks    = ReadWidth / WriteWidth;
    localparam int BankBits = $clog2(Banks);

    for (genvar bank = 0; bank < Banks; bank++) begin : gen_bank
      sram #(
        .Depth(ReadDepth),
        .Width(WriteWidth)
      ) u_sram (
        .clk_i,
        .write_i        (write_i & (write_address_i[BankBits-1:0] == BankBits'(bank))),
        .write_address_i(ReadAddressBits'(write_address_i >> BankBits)),
        .write_data_i,
        .read_i,
        .read_address_i,
        .read_data_o    (read_data_o[bank*WriteWidth+:WriteWidth])
      );
    end
  end

endmodule
