// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scales of the KV cache: written a float at a time or in beats of the memory port, read in words or in beats.
//
// Every port counts addresses in its own width; the first float is the lowest part of word 0 and of beat 0. Of the two
// writes, and of the two reads, one happens at a time. Data read hold their value until the next read of either kind.

module scale_sram #(
  parameter  int Bits             = 32768,  // a multiple of all widths, which are powers of two
  parameter  int WordWidth        = 128,
  parameter  int BeatWidth        = 512,
  localparam int FloatWidth       = 32,
  localparam int WordAddressBits  = (Bits > WordWidth) ? $clog2(Bits / WordWidth) : 1,
  localparam int BeatAddressBits  = (Bits > BeatWidth) ? $clog2(Bits / BeatWidth) : 1,
  localparam int FloatAddressBits = (Bits > FloatWidth) ? $clog2(Bits / FloatWidth) : 1
) (
  input  logic                        clk_i,
  input  logic                        write_i,
  input  logic [FloatAddressBits-1:0] write_address_i,
  input  logic [FloatWidth-1:0]       write_data_i,
  input  logic                        beat_write_i,
  input  logic [BeatAddressBits-1:0]  beat_write_address_i,
  input  logic [BeatWidth-1:0]        beat_write_data_i,
  input  logic                        read_i,
  input  logic [WordAddressBits-1:0]  read_address_i,
  output logic [WordWidth-1:0]        read_data_o,
  input  logic                        beat_read_i,
  input  logic [BeatAddressBits-1:0]  beat_read_address_i,
  output logic [BeatWidth-1:0]        beat_read_data_o
);

  // Rows as wide as the widest port.
  localparam int RowWidth  = (WordWidth > BeatWidth) ? WordWidth : BeatWidth;
  localparam int RowBytes  = RowWidth / 8;
  localparam int Depth     = Bits / RowWidth;
  localparam int RowBits   = (Depth > 1) ? $clog2(Depth) : 1;
  localparam int Floats    = RowWidth / FloatWidth;
  localparam int Words     = RowWidth / WordWidth;
  localparam int RowBeats  = RowWidth / BeatWidth;

  logic [RowBytes-1:0]        row_bytes;
  logic [RowWidth-1:0]        row;
  logic [WordAddressBits-1:0] word_q;  // of the row, as the next
  logic [BeatAddressBits-1:0] beat_q;

  for (genvar i = 0; i < RowBytes; i++) begin : gen_byte
    assign row_bytes[i] = beat_write_i ?
        (beat_write_address_i & BeatAddressBits'(RowBeats - 1))
            == BeatAddressBits'(i / (BeatWidth / 8)) :
        (write_address_i & FloatAddressBits'(Floats - 1))
            == FloatAddressBits'(i / (FloatWidth / 8));
  end

  sram_byte_write #(
    .Depth(Depth),
    .Bytes(RowBytes)
  ) u_sram (
    .clk_i,
    .write_i        (write_i | beat_write_i),
    .write_address_i(beat_write_i ? RowBits'(beat_write_address_i >> $clog2(RowBeats)) :
                                    RowBits'(write_address_i >> $clog2(Floats))),
    .write_bytes_i  (row_bytes),
    .write_data_i   (beat_write_i ? {RowBeats{beat_write_data_i}} : {Floats{write_data_i}}),
    .read_i         (read_i | beat_read_i),
    .read_address_i (beat_read_i ? RowBits'(beat_read_address_i >> $clog2(RowBeats)) :
                                   RowBits'(read_address_i >> $clog2(Words))),
    .read_data_o    (row)
  );

  always_ff @(posedge clk_i) begin
    if (read_i) begin
      word_q <= read_address_i & WordAddressBits'(Words - 1);
    end
    if (beat_read_i) begin
      beat_q <= beat_read_address_i & BeatAddressBits'(RowBeats - 1);
    end
  end

  assign read_data_o      = row[word_q*WordWidth+:WordWidth];
  assign beat_read_data_o = row[beat_q*BeatWidth+:BeatWidth];

endmodule
