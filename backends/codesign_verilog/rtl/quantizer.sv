// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The quantizer: rows of float32 to int8 with one scale a row, as docs/arithmetic.md states it, in two passes.
//
// The first pass over a row finds m, its largest magnitude; one divider makes 127 / m and then the scale m / 127. The
// second multiplies every value by 127 / m and rounds. As a row takes its time in the divider, the passes alternate
// over batches of up to Batch rows: the first over all of them, then the second, each row as soon as its 127 / m is
// there. Rows are read from words of Lanes floats and written in parts of Lanes bytes, zeros behind a row's end up to a
// whole slice of Width:
// - activations: row after row, slice after slice, packed;
// - keys: slice s of row r is Width bytes of lane offset in kv word address + r * row_stride + s;
// - values: value i of row r is byte offset of lane i % MatmulLanes in kv word address + r * row_stride
//   + i / MatmulLanes * tile_stride.
// Addresses of parts are quantizer_address's. The scale of row r goes to float scale + r * scale_stride of the
// destination's scales, whose number (quantizer_pkg) stands above the address.
//
// The command is packed from its lowest bit: source (word address), source_stride (words from a row to the next),
// destination, address (of a word of activations or kv), row_stride, tile_stride, offset, scale, scale_stride, rows,
// length (values of a row; both at least 1). Memories answer a read in the next cycle.
// Accepted in cycle a, done_o stands in cycle a + 7 + the cycles of its batches; it is ready again in the next. A batch
// of n rows takes the greater of n * (max(beats, 2) + parts) and beats + pause + (n - 1) * max(parts, 2) + parts, where
// beats = length / Lanes and parts = Width / Lanes * (length / Width), both rounded up, and pause = divide latency + 1
// + $clog2(Lanes). At least two cycles a row: the divider makes two quotients.

module quantizer #(
  parameter  int Lanes          = 16,  // a power of two, 4 at least
  parameter  int Width          = 32,  // a power of two, Lanes at least
  parameter  int MatmulLanes    = 32,  // a power of two, Width at least
  parameter  int SpaceBits      = 12,
  parameter  int ActivationBits = 10,
  parameter  int KvBits         = 10,
  parameter  int ScaleBits      = 10,
  parameter  int RowsBits       = 16,
  parameter  int LengthBits     = 16,
  localparam int AddressBits    = (ActivationBits > KvBits) ? ActivationBits : KvBits,
  localparam int OffsetBits     = $clog2(MatmulLanes),
  localparam int PartBits       = ActivationBits + $clog2(Width / Lanes),
  localparam int KvByteBits     = 1 + KvBits + OffsetBits + $clog2(Width),
  localparam int CommandBits    = 2 * SpaceBits + 2 + AddressBits + 2 * KvBits + OffsetBits
                                  + 2 * ScaleBits + RowsBits + LengthBits
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   command_valid_i,
  output logic                   command_ready_o,
  input  logic [CommandBits-1:0] command_i,
  output logic                   done_o,
  output logic                   source_read_o,
  output logic [SpaceBits-1:0]   source_address_o,
  input  logic [Lanes*32-1:0]    source_data_i,
  output logic                   activation_write_o,
  output logic [PartBits-1:0]    activation_address_o,
  output logic [Lanes*8-1:0]     activation_data_o,
  output logic                   kv_write_o,
  output logic [KvByteBits-1:0]  kv_address_o,
  output logic [Lanes*8-1:0]     kv_data_o,
  output logic                   scale_write_o,
  output logic [ScaleBits+1:0]   scale_address_o,
  output logic [31:0]            scale_data_o
);

  localparam int LaneBits     = $clog2(Lanes);
  localparam int SliceBits    = $clog2(Width);
  localparam int BeatsBits    = LengthBits - LaneBits;
  localparam int Batch        = 16;
  localparam int SlotBits     = $clog2(Batch);
  localparam int MaxLatency   = float_pkg::latency(float_pkg::Max);
  localparam int Division     = float_pkg::latency(float_pkg::Divide);
  localparam int TreeLatency  = LaneBits * MaxLatency;
  localparam int ToIntLatency = float_pkg::latency(float_pkg::ToInt);

  // From a read to its beat's write: the memory, a register, product, rounding.
  localparam int WriteLatency = 2 + float_pkg::FloatMultiplyLatency + ToIntLatency;

  localparam logic [31:0] Limit    = 32'h42FE_0000;  // 127
  localparam logic [31:0] Infinity = 32'h7F80_0000;
  localparam logic [31:0] One      = 32'h3F80_0000;

  // The command.
  logic [SpaceBits-1:0]   source;
  logic [SpaceBits-1:0]   source_stride;
  logic [1:0]             destination;
  logic [AddressBits-1:0] address;
  logic [KvBits-1:0]      row_stride;
  logic [KvBits-1:0]      tile_stride;
  logic [OffsetBits-1:0]  offset;
  logic [ScaleBits-1:0]   scale;
  logic [ScaleBits-1:0]   scale_stride;
  logic [RowsBits-1:0]    rows;
  logic [LengthBits-1:0]  length;
  logic                   accept;

  assign {length, rows, scale_stride, scale, offset, tile_stride, row_stride, address, destination,
          source_stride, source} = command_i;

  logic [SpaceBits-1:0]  source_stride_q;
  logic [ScaleBits-1:0]  scale_stride_q;
  logic [RowsBits-1:0]   rows_q;  // still to be measured
  logic [LengthBits-1:0] last_q;  // place of a row's last value
  logic [BeatsBits-1:0]  last_beat;
  logic [BeatsBits-1:0]  last_measure;
  logic [BeatsBits-1:0]  last_part;
  logic [Lanes-1:0]      tail;    // lanes of the last beat that a row fills

  assign last_beat    = last_q[LengthBits-1:LaneBits];
  assign last_measure = (last_beat == '0) ? BeatsBits'(1) : last_beat;
  assign last_part    = BeatsBits'({last_q[LengthBits-1:SliceBits], {SliceBits{1'b1}}} >> LaneBits);
  assign tail         = {Lanes{1'b1}} >> ~last_q[LaneBits-1:0];

  // The passes.
  typedef enum logic [1:0] {
    StIdle,
    StMeasure,  // first pass
    StRound     // second pass, a row when its 127 / m meets it
  } state_e;

  state_e                state_q;
  logic                  busy_q;
  logic                  inverse_next;
  logic [SlotBits:0]     measured_q;  // rows, not yet rounded
  logic [SlotBits:0]     inverted_q;  // those that can be rounded
  logic [BeatsBits-1:0]  beat_q;
  logic [SpaceBits-1:0]  measure_row_q;
  logic [SpaceBits-1:0]  round_row_q;
  logic                  measure;
  logic                  measure_end;
  logic                  last_measured;
  logic                  round;
  logic                  row_end;
  logic                  last_row;

  assign command_ready_o  = ~busy_q;
  assign accept           = command_valid_i & command_ready_o;
  assign measure          = state_q == StMeasure;
  assign measure_end      = measure & (beat_q == last_measure);
  assign last_measured    = (rows_q == RowsBits'(1)) | (measured_q == (SlotBits + 1)'(Batch - 1));
  assign round            = (state_q == StRound) & (inverted_q != '0);
  assign row_end          = round & (beat_q == last_part);
  assign last_row         = (rows_q == '0) & (measured_q == (SlotBits + 1)'(1));
  assign source_read_o    = (measure | round) & (beat_q <= last_beat);
  assign source_address_o = (measure ? measure_row_q : round_row_q) + SpaceBits'(beat_q);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q    <= StIdle;
      busy_q     <= 1'b0;
      measured_q <= '0;
      inverted_q <= '0;
    end else begin
      busy_q     <= accept | (busy_q & ~done_o);
      measured_q <= measured_q + (SlotBits + 1)'(measure_end) - (SlotBits + 1)'(row_end);
      inverted_q <= inverted_q + (SlotBits + 1)'(inverse_next) - (SlotBits + 1)'(row_end);
      case (state_q)
        StIdle:    if (accept) state_q <= StMeasure;
        StMeasure: if (measure_end && last_measured) state_q <= StRound;
        default: begin
          if (row_end && measured_q == (SlotBits + 1)'(1)) begin
            state_q <= last_row ? StIdle : StMeasure;
          end
        end
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      source_stride_q <= source_stride;
      scale_stride_q  <= scale_stride;
      rows_q          <= rows;
      last_q          <= length - 1'b1;
      measure_row_q   <= source;
      round_row_q     <= source;
      beat_q          <= '0;
    end else begin
      if (measure || round) begin
        beat_q <= (measure_end || row_end) ? '0 : beat_q + 1'b1;
      end
      if (measure_end) begin
        rows_q        <= rows_q - 1'b1;
        measure_row_q <= measure_row_q + source_stride_q;
      end
      if (row_end) begin
        round_row_q <= round_row_q + source_stride_q;
      end
    end
  end

  // What works on values rests between commands.
  logic data_clk;

  clock_gate u_clock_gate (
    .clk_i,
    .enable_i(busy_q),
    .clk_o   (data_clk)
  );

  // Values read, registered; 0, which no maximum of magnitudes notices, behind the end of a row.
  logic                read_tail_q;
  logic [Lanes*32-1:0] values_q;
  logic [Lanes*32-1:0] magnitudes;

  always_ff @(posedge clk_i) begin
    read_tail_q <= beat_q == last_beat;
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_value
    always_ff @(posedge data_clk) begin
      values_q[lane*32+:32] <= (read_tail_q && !tail[lane]) ? 32'd0 : source_data_i[lane*32+:32];
    end

    assign magnitudes[lane*32+:32] = {1'b0, values_q[lane*32+:31]};
  end

  // Largest magnitude of a row. It stands in the cycle of maximum_valid.
  logic                    first;
  logic                    maximum_valid;
  logic [31:0]             maximum;
  logic [(Lanes-1)*32-1:0] unused_maxima;

  delay_line #(
    .Width (1),
    .Cycles(2 + TreeLatency)
  ) u_first_delay (
    .clk_i,
    .rst_ni,
    .data_i(measure & (beat_q == '0)),
    .data_o(first)
  );

  delay_line #(
    .Width (1),
    .Cycles(2 + TreeLatency + MaxLatency)
  ) u_maximum_delay (
    .clk_i,
    .rst_ni,
    .data_i(measure & (beat_q == last_beat)),
    .data_o(maximum_valid)
  );

  vector_combine #(
    .Lanes    (Lanes),
    .IsMaximum(1'b1)
  ) u_maximum (
    .clk_i    (data_clk),
    .reduce_i (1'b1),
    .first_i  (first),
    .beat_i   (magnitudes),
    .a_i      ('0),
    .b_i      ('0),
    .results_o({maximum, unused_maxima})
  );

  // 127 / m, and in the next cycle m / 127.
  logic        scale_next_q;
  logic [31:0] maximum_q;
  logic [31:0] quotient;
  logic        inverse_valid;
  logic        tiny;
  logic        tiny_q;
  logic        scale_valid_q;

  always_ff @(posedge clk_i) begin
    scale_next_q <= maximum_valid;
    maximum_q    <= maximum;
  end

  float_divide u_divide (
    .clk_i     (data_clk),
    .a_i       (scale_next_q ? maximum_q : Limit),
    .b_i       (scale_next_q ? Limit : maximum),
    .quotient_o(quotient)
  );

  // A row's second pass may begin so that its first values meet the inverse.
  delay_line #(
    .Width (1),
    .Cycles(Division - 2)
  ) u_next_delay (
    .clk_i,
    .rst_ni,
    .data_i(maximum_valid),
    .data_o(inverse_next)
  );

  delay_line #(
    .Width (1),
    .Cycles(2)
  ) u_inverse_delay (
    .clk_i,
    .rst_ni,
    .data_i(inverse_next),
    .data_o(inverse_valid)
  );

  assign tiny = quotient == Infinity;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      scale_valid_q <= 1'b0;
    end else begin
      scale_valid_q <= inverse_valid;
    end
  end

  // The inverses of a batch, by row. Rows come in order, so the places of batches follow each other around.
  logic [31:0]         inverses_q [Batch];
  logic [SlotBits-1:0] inverse_slot_q;
  logic [SlotBits-1:0] round_slot_q;
  logic [SlotBits-1:0] read_slot_q;
  logic [SlotBits-1:0] value_slot_q;  // of the row in values_q
  logic [31:0]         inverse;

  assign inverse = inverses_q[value_slot_q];

  always_ff @(posedge clk_i) begin
    if (inverse_valid) begin
      tiny_q                     <= tiny;
      inverses_q[inverse_slot_q] <= tiny ? 32'd0 : quotient;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      inverse_slot_q <= '0;
      round_slot_q   <= '0;
    end else begin
      inverse_slot_q <= inverse_slot_q + SlotBits'(inverse_valid);
      round_slot_q   <= round_slot_q + SlotBits'(row_end);
    end
    read_slot_q  <= round_slot_q;
    value_slot_q <= read_slot_q;
  end

  assign scale_write_o = scale_valid_q;
  assign scale_data_o  = tiny_q ? One : quotient;

  // Products, rounded.
  logic part_valid;
  logic part_beyond;
  logic part_row_end;

  delay_line #(
    .Width (4),
    .Cycles(WriteLatency)
  ) u_write_delay (
    .clk_i,
    .rst_ni,
    .data_i({round, beat_q > last_beat, row_end, row_end & last_row}),
    .data_o({part_valid, part_beyond, part_row_end, done_o})
  );

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic [31:0] product;
    logic [7:0]  integer8;

    float_multiply u_multiply (
      .clk_i    (data_clk),
      .a_i      (values_q[lane*32+:32]),
      .b_i      (inverse),
      .product_o(product)
    );

    float_to_int #(
      .Width(8)
    ) u_to_int (
      .clk_i    (data_clk),
      .float_i  (product),
      .integer_o(integer8)
    );

    assign activation_data_o[lane*8+:8] = part_beyond ? 8'd0 : integer8;
  end

  // Where they go.
  logic [1:0] destination_q;

  quantizer_address #(
    .Lanes         (Lanes),
    .Width         (Width),
    .MatmulLanes   (MatmulLanes),
    .ActivationBits(ActivationBits),
    .KvBits        (KvBits)
  ) u_address (
    .clk_i,
    .load_i       (accept),
    .destination_i(destination),
    .address_i    (address),
    .row_stride_i (row_stride),
    .tile_stride_i(tile_stride),
    .offset_i     (offset),
    .step_i       (part_valid),
    .row_end_i    (part_row_end),
    .destination_o(destination_q),
    .activation_address_o,
    .kv_address_o
  );

  assign activation_write_o = part_valid & (destination_q == quantizer_pkg::Activations);
  assign kv_write_o         = part_valid & (destination_q != quantizer_pkg::Activations);
  assign kv_data_o          = activation_data_o;

  logic [ScaleBits-1:0] scale_q;

  assign scale_address_o = {destination_q, scale_q};

  always_ff @(posedge clk_i) begin
    if (accept) begin
      scale_q <= scale;
    end else if (scale_write_o) begin
      scale_q <= scale_q + scale_stride_q;
    end
  end

endmodule
