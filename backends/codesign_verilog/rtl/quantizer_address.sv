// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where the quantizer writes its parts of Lanes bytes: walks the words of activations, keys or values.
//
// A part is one of a slice of Width bytes in activations and in the lane of a key, one of a word's MatmulLanes lanes in
// values. The first address stands in the cycle after load_i, the next after each step_i. The address in kv is that of
// kv_sram: the part's first byte, under a bit that says whether the part lies across lanes.

module quantizer_address #(
  parameter  int Lanes          = 16,
  parameter  int Width          = 32,
  parameter  int MatmulLanes    = 32,
  parameter  int ActivationBits = 10,
  parameter  int KvBits         = 10,
  localparam int SliceParts     = Width / Lanes,
  localparam int TileParts      = MatmulLanes / Lanes,
  localparam int AddressBits    = (ActivationBits > KvBits) ? ActivationBits : KvBits,
  localparam int OffsetBits     = $clog2(MatmulLanes),
  localparam int ByteBits       = $clog2(Width),
  localparam int PartBits       = ActivationBits + $clog2(SliceParts),
  localparam int KvByteBits     = 1 + KvBits + OffsetBits + ByteBits
) (
  input  logic                   clk_i,
  input  logic                   load_i,
  input  logic [1:0]             destination_i,
  input  logic [AddressBits-1:0] address_i,
  input  logic [KvBits-1:0]      row_stride_i,
  input  logic [KvBits-1:0]      tile_stride_i,
  input  logic [OffsetBits-1:0]  offset_i,
  input  logic                   step_i,
  input  logic                   row_end_i,    // the part is its row's last
  output logic [1:0]             destination_o,
  output logic [PartBits-1:0]    activation_address_o,
  output logic [KvByteBits-1:0]  kv_address_o
);

  localparam logic [OffsetBits-1:0] SliceMask = OffsetBits'(SliceParts - 1);
  localparam logic [OffsetBits-1:0] TileMask  = OffsetBits'(TileParts - 1);

  logic [KvBits-1:0]      row_stride_q;
  logic [KvBits-1:0]      tile_stride_q;
  logic [OffsetBits-1:0]  offset_q;
  logic [AddressBits-1:0] row_word_q;  // of the row's first part
  logic [AddressBits-1:0] word_q;
  logic [OffsetBits-1:0]  part_q;      // in the row
  logic [OffsetBits-1:0]  slice_part;
  logic [OffsetBits-1:0]  tile_part;
  logic [AddressBits-1:0] next_row_word;
  logic                   values;

  assign values        = destination_o == quantizer_pkg::Values;
  assign slice_part    = part_q & SliceMask;
  assign tile_part     = part_q & TileMask;
  assign next_row_word = row_word_q + AddressBits'(row_stride_q);

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      destination_o <= destination_i;
      row_stride_q  <= row_stride_i;
      tile_stride_q <= tile_stride_i;
      offset_q      <= offset_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      row_word_q <= address_i;
      word_q     <= address_i;
      part_q     <= '0;
    end else if (step_i) begin
      part_q <= row_end_i ? '0 : part_q + 1'b1;
      if (row_end_i && destination_o != quantizer_pkg::Activations) begin
        row_word_q <= next_row_word;
        word_q     <= next_row_word;
      end else if (values && tile_part == TileMask) begin
        word_q <= word_q + AddressBits'(tile_stride_q);
      end else if (!values && slice_part == SliceMask) begin
        word_q <= word_q + 1'b1;
      end
    end
  end

  logic [OffsetBits-1:0] lane;
  logic [ByteBits-1:0]   first_byte;

  assign lane       = values ? tile_part << $clog2(Lanes) : offset_q;
  assign first_byte = values ? ByteBits'(offset_q) : ByteBits'({slice_part, $clog2(Lanes)'(0)});

  assign activation_address_o = (PartBits'(word_q) << $clog2(SliceParts)) | PartBits'(slice_part);
  assign kv_address_o         = {values, KvBits'(word_q), lane, first_byte};

endmodule
