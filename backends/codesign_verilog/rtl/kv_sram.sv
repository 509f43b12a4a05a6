// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The KV cache: words of Lanes × Width bytes, written in parts of PartBytes along a lane or across lanes, or in beats
// of the memory port, read in whole words or in beats.
//
// A key is written along the lane of its position, a value across the lanes of its elements. A part's address is that
// of its first byte (byte in the lane, lane, word, from the lowest bit), under one more bit that says that its bytes
// are those of neighboring lanes. Parts are aligned in the direction in which they lie. Addresses of beats count beats,
// which are parts of a word or several words. Of the two writes, and of the two reads, one happens at a time. Data read
// hold their value until the next read of either kind. Each lane has a memory of its own, or as many as a beat has
// words.

module kv_sram #(
  parameter  int Depth            = 1024,
  parameter  int Lanes            = 32,
  parameter  int Width            = 32,
  parameter  int PartBytes        = 16,  // divides Width, which divides Lanes; powers of two
  parameter  int BeatBytes        = 64,  // a power of two, that of Depth words at most
  localparam int WordBytes        = Lanes * Width,
  localparam int Beats            = Depth * WordBytes / BeatBytes,
  localparam int AddressBits      = (Depth > 1) ? $clog2(Depth) : 1,
  localparam int LaneBits         = $clog2(Lanes),
  localparam int ByteBits         = $clog2(Width),
  localparam int WriteAddressBits = 1 + AddressBits + LaneBits + ByteBits,
  localparam int BeatAddressBits  = (Beats > 1) ? $clog2(Beats) : 1
) (
  input  logic                        clk_i,
  input  logic                        write_i,
  input  logic [WriteAddressBits-1:0] write_address_i,
  input  logic [PartBytes*8-1:0]      write_data_i,
  input  logic                        beat_write_i,
  input  logic [BeatAddressBits-1:0]  beat_write_address_i,
  input  logic [BeatBytes*8-1:0]      beat_write_data_i,
  input  logic                        read_i,
  input  logic [AddressBits-1:0]      read_address_i,
  output logic [WordBytes*8-1:0]      read_data_o,
  input  logic                        beat_read_i,
  input  logic [BeatAddressBits-1:0]  beat_read_address_i,
  output logic [BeatBytes*8-1:0]      beat_read_data_o
);

  localparam int PartBits  = $clog2(PartBytes);
  localparam int Banks     = (BeatBytes > WordBytes) ? BeatBytes / WordBytes : 1;  // words of a row
  localparam int WordBeats = (BeatBytes < WordBytes) ? WordBytes / BeatBytes : 1;
  localparam int LaneBeats = (BeatBytes < Width) ? Width / BeatBytes : 1;
  localparam int BeatLanes = (BeatBytes > Width) ? BeatBytes / Width : 1;
  localparam int Rows      = Depth / Banks;
  localparam int RowBits   = (Rows > 1) ? $clog2(Rows) : 1;

  logic                   across;
  logic [AddressBits-1:0] word;
  logic [LaneBits-1:0]    first_lane;
  logic [ByteBits-1:0]    first_byte;
  logic [Width-1:0]       part_bytes;  // of a lane that the part lies along
  logic [Width-1:0]       one_byte;    // of a lane that the part lies across
  logic [Width-1:0]       beat_bytes;  // of a lane that the beat fills or lies in
  logic [Width-1:0]       bytes;
  logic [RowBits-1:0]     write_row;
  logic [RowBits-1:0]     read_row;

  assign {across, word, first_lane, first_byte} = write_address_i;

  assign bytes     = beat_write_i ? beat_bytes : across ? one_byte : part_bytes;
  assign write_row = beat_write_i ? RowBits'(beat_write_address_i >> $clog2(WordBeats)) :
                                    RowBits'(word >> $clog2(Banks));
  assign read_row  = beat_read_i ? RowBits'(beat_read_address_i >> $clog2(WordBeats)) :
                                   RowBits'(read_address_i >> $clog2(Banks));

  for (genvar i = 0; i < Width; i++) begin : gen_byte
    // One bit more, as a part may be all there is.
    assign part_bytes[i] = ((ByteBits+1)'(first_byte) >> PartBits) == (ByteBits+1)'(i / PartBytes);
    assign one_byte[i]   = first_byte == ByteBits'(i);
    assign beat_bytes[i] =
        (beat_write_address_i & BeatAddressBits'(LaneBeats - 1)) == BeatAddressBits'(i / BeatBytes);
  end

  logic [Banks*WordBytes*8-1:0] row;

  for (genvar bank = 0; bank < Banks; bank++) begin : gen_bank
    logic written;
    logic read;

    assign written = (word & AddressBits'(Banks - 1)) == AddressBits'(bank);
    assign read    = (read_address_i & AddressBits'(Banks - 1)) == AddressBits'(bank);

    for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
      localparam int First = (bank * Lanes + lane) % BeatLanes * Width;  // byte of the beat

      logic               in_part;
      logic               in_beat;
      logic [Width*8-1:0] part;
      logic [Width*8-1:0] beat;

      assign in_part = across ? (first_lane >> PartBits) == LaneBits'(lane / PartBytes)
                              : first_lane == LaneBits'(lane);
      assign in_beat = ((beat_write_address_i & BeatAddressBits'(WordBeats - 1))
                        >> $clog2(LaneBeats)) == BeatAddressBits'(lane / BeatLanes % WordBeats);
      assign part    = across ? {Width{write_data_i[(lane%PartBytes)*8+:8]}}
                              : {(Width/PartBytes){write_data_i}};
      assign beat    = {LaneBeats{beat_write_data_i[First*8+:Width/LaneBeats*8]}};

      sram_byte_write #(
        .Depth(Rows),
        .Bytes(Width)
      ) u_sram (
        .clk_i,
        .write_i        ((write_i & written & in_part) | (beat_write_i & in_beat)),
        .write_address_i(write_row),
        .write_bytes_i  (bytes),
        .write_data_i   (beat_write_i ? beat : part),
        .read_i         ((read_i & read) | beat_read_i),
        .read_address_i (read_row),
        .read_data_o    (row[(bank*Lanes+lane)*Width*8+:Width*8])
      );
    end
  end

  // Which word, and which beat, of the row read.
  logic [BeatAddressBits-1:0] beat_q;

  if (Banks == 1) begin : gen_word
    assign read_data_o = row;
  end else begin : gen_words
    logic [AddressBits-1:0] word_q;

    always_ff @(posedge clk_i) begin
      if (read_i) begin
        word_q <= read_address_i & AddressBits'(Banks - 1);
      end
    end

    assign read_data_o = row[word_q*WordBytes*8+:WordBytes*8];
  end

  always_ff @(posedge clk_i) begin
    if (beat_read_i) begin
      beat_q <= beat_read_address_i & BeatAddressBits'(WordBeats - 1);
    end
  end

  assign beat_read_data_o = row[beat_q*BeatBytes*8+:BeatBytes*8];

endmodule
