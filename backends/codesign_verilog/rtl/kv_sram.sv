// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The KV cache: words of Lanes × Width bytes, written in parts of PartBytes along a lane or across lanes, read whole.
//
// A key is written along the lane of its position, a value across the lanes of its elements. A write's address is that
// of its first byte (byte in the lane, lane, word, from the lowest bit), under one more bit that says that its bytes
// are those of neighboring lanes. Parts are aligned in the direction in which they lie. Each lane has a memory of its
// own. read_data_o holds its value until the next read.

module kv_sram #(
  parameter  int Depth            = 1024,
  parameter  int Lanes            = 32,
  parameter  int Width            = 32,
  parameter  int PartBytes        = 16,  // divides Width, which divides Lanes; all are powers of two
  localparam int AddressBits      = (Depth > 1) ? $clog2(Depth) : 1,
  localparam int LaneBits         = $clog2(Lanes),
  localparam int ByteBits         = $clog2(Width),
  localparam int WriteAddressBits = 1 + AddressBits + LaneBits + ByteBits
) (
  input  logic                        clk_i,
  input  logic                        write_i,
  input  logic [WriteAddressBits-1:0] write_address_i,
  input  logic [PartBytes*8-1:0]      write_data_i,
  input  logic                        read_i,
  input  logic [AddressBits-1:0]      read_address_i,
  output logic [Lanes*Width*8-1:0]    read_data_o
);

  localparam int PartBits = $clog2(PartBytes);

  logic                   across;
  logic [AddressBits-1:0] word;
  logic [LaneBits-1:0]    first_lane;
  logic [ByteBits-1:0]    first_byte;
  logic [Width-1:0]       part_bytes;  // of a lane that the part lies along
  logic [Width-1:0]       one_byte;    // of a lane that the part lies across

  assign {across, word, first_lane, first_byte} = write_address_i;

  for (genvar i = 0; i < Width; i++) begin : gen_byte
    assign part_bytes[i] = (first_byte >> PartBits) == ByteBits'(i / PartBytes);
    assign one_byte[i]   = first_byte == ByteBits'(i);
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic               chosen;
    logic [Width*8-1:0] data;

    assign chosen = across ? (first_lane >> PartBits) == LaneBits'(lane / PartBytes) : first_lane == LaneBits'(lane);
    assign data   = across ? {Width{write_data_i[(lane%PartBytes)*8+:8]}} : {(Width/PartBytes){write_data_i}};

    sram_byte_write #(
      .Depth(Depth),
      .Bytes(Width)
    ) u_sram (
      .clk_i,
      .write_i        (write_i & chosen),
      .write_address_i(word),
      .write_bytes_i  (across ? one_byte : part_bytes),
      .write_data_i   (data),
      .read_i,
      .read_address_i,
      .read_data_o    (read_data_o[lane*Width*8+:Width*8])
    );
  end

endmodule
