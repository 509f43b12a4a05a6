// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The quantizer: rows of float32 to int8 with one scale a row, as docs/arithmetic.md states it, in two passes.
//
// The first pass over a row finds m, its largest magnitude; one divider makes 127 / m and then the scale m / 127. The
// second multiplies every value by 127 / m and rounds. Rows are read from words of Lanes floats and written as the
// matmul unit's activations: row after row, each of so many slices of Width bytes that it fits, zeros behind its end.
// The write port takes Lanes bytes, so that its addresses count parts of a slice. Scales are written row after row.
//
// The command is packed from its lowest bit: source (word address), source_stride (words from a row to the next),
// activation, activation_scale (word addresses), rows, length (values of a row; both at least 1). Memories answer a
// read in the next cycle.
// Accepted in cycle a, it is idle and ready again in cycle a + 8 + rows * (beats + parts + divide latency + 1 +
// $clog2(Lanes)), where beats = length / Lanes and parts = Width / Lanes * (length / Width), both rounded up.

module quantizer #(
  parameter  int Lanes               = 16,  // a power of two, 4 at least
  parameter  int Width               = 32,  // a power of two, Lanes at least
  parameter  int SourceBits          = 10,
  parameter  int ActivationBits      = 10,
  parameter  int ActivationScaleBits = 4,
  parameter  int RowsBits            = 16,
  parameter  int LengthBits          = 16,
  localparam int PartBits            = ActivationBits + $clog2(Width / Lanes),
  localparam int CommandBits         = 2 * SourceBits + ActivationBits + ActivationScaleBits + RowsBits + LengthBits
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  input  logic                           command_valid_i,
  output logic                           command_ready_o,
  input  logic [CommandBits-1:0]         command_i,
  output logic                           idle_o,
  output logic                           source_read_o,
  output logic [SourceBits-1:0]          source_address_o,
  input  logic [Lanes*32-1:0]            source_data_i,
  output logic                           activation_write_o,
  output logic [PartBits-1:0]            activation_address_o,
  output logic [Lanes*8-1:0]             activation_data_o,
  output logic                           activation_scale_write_o,
  output logic [ActivationScaleBits-1:0] activation_scale_address_o,
  output logic [31:0]                    activation_scale_data_o
);

  localparam int LaneBits     = $clog2(Lanes);
  localparam int SliceBits    = $clog2(Width);
  localparam int BeatsBits    = LengthBits - LaneBits;
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
  logic [SourceBits-1:0]          source;
  logic [SourceBits-1:0]          source_stride;
  logic [ActivationBits-1:0]      activation;
  logic [ActivationScaleBits-1:0] activation_scale;
  logic [RowsBits-1:0]            rows;
  logic [LengthBits-1:0]          length;
  logic                           accept;

  assign {length, rows, activation_scale, activation, source_stride, source} = command_i;

  logic [SourceBits-1:0] source_stride_q;
  logic [RowsBits-1:0]   rows_q;  // still to be rounded
  logic [LengthBits-1:0] last_q;  // place of a row's last value
  logic [BeatsBits-1:0]  last_beat;
  logic [BeatsBits-1:0]  last_part;
  logic [Lanes-1:0]      tail;    // lanes of the last beat that a row fills

  assign last_beat = last_q[LengthBits-1:LaneBits];
  assign last_part = BeatsBits'({last_q[LengthBits-1:SliceBits], {SliceBits{1'b1}}} >> LaneBits);
  assign tail      = {Lanes{1'b1}} >> ~last_q[LaneBits-1:0];

  // The passes.
  typedef enum logic [1:0] {
    StIdle,
    StMaximum,  // first pass
    StDivide,   // until 127 / m meets the second pass
    StRound     // second pass
  } state_e;

  state_e                state_q;
  logic                  busy_q;
  logic                  round_next;
  logic                  written_last;
  logic [BeatsBits-1:0]  beat_q;
  logic [SourceBits-1:0] row_address_q;
  logic                  measure;
  logic                  round;
  logic                  row_end;

  assign command_ready_o  = ~busy_q;
  assign idle_o           = ~busy_q;
  assign accept           = command_valid_i & command_ready_o;
  assign measure          = state_q == StMaximum;
  assign round            = state_q == StRound;
  assign row_end          = round & (beat_q == last_part);
  assign source_read_o    = (measure | round) & (beat_q <= last_beat);
  assign source_address_o = row_address_q + SourceBits'(beat_q);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      busy_q  <= 1'b0;
    end else begin
      busy_q <= accept | (busy_q & ~written_last);
      case (state_q)
        StIdle:    if (accept) state_q <= StMaximum;
        StMaximum: if (beat_q == last_beat) state_q <= StDivide;
        StDivide:  if (round_next) state_q <= StRound;
        default:   if (row_end) state_q <= (rows_q == RowsBits'(1)) ? StIdle : StMaximum;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      source_stride_q <= source_stride;
      rows_q          <= rows;
      last_q          <= length - 1'b1;
      row_address_q   <= source;
      beat_q          <= '0;
    end else begin
      if (measure || round) begin
        beat_q <= ((measure && beat_q == last_beat) || row_end) ? '0 : beat_q + 1'b1;
      end
      if (row_end) begin
        rows_q        <= rows_q - 1'b1;
        row_address_q <= row_address_q + source_stride_q;
      end
    end
  end

  // Values read, registered; 0, which no maximum of magnitudes notices, behind the end of a row.
  logic                read_tail_q;
  logic [Lanes*32-1:0] values_q;
  logic [Lanes*32-1:0] magnitudes;

  always_ff @(posedge clk_i) begin
    read_tail_q <= beat_q == last_beat;
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_value
    always_ff @(posedge clk_i) begin
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
    .clk_i,
    .reduce_i (1'b1),
    .first_i  (first),
    .a_i      (magnitudes),
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
  logic [31:0] inverse_q;

  always_ff @(posedge clk_i) begin
    scale_next_q <= maximum_valid;
    maximum_q    <= maximum;
  end

  float_divide u_divide (
    .clk_i,
    .a_i       (scale_next_q ? maximum_q : Limit),
    .b_i       (scale_next_q ? Limit : maximum),
    .quotient_o(quotient)
  );

  // The second pass begins so that its first values meet the inverse.
  delay_line #(
    .Width (1),
    .Cycles(Division - 2)
  ) u_round_delay (
    .clk_i,
    .rst_ni,
    .data_i(maximum_valid),
    .data_o(round_next)
  );

  delay_line #(
    .Width (1),
    .Cycles(2)
  ) u_inverse_delay (
    .clk_i,
    .rst_ni,
    .data_i(round_next),
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

  always_ff @(posedge clk_i) begin
    if (inverse_valid) begin
      tiny_q    <= tiny;
      inverse_q <= tiny ? 32'd0 : quotient;
    end
  end

  assign activation_scale_write_o = scale_valid_q;
  assign activation_scale_data_o  = tiny_q ? One : quotient;

  // Products, rounded.
  logic written_beyond;

  delay_line #(
    .Width (3),
    .Cycles(WriteLatency)
  ) u_write_delay (
    .clk_i,
    .rst_ni,
    .data_i({round, beat_q > last_beat, row_end & (rows_q == RowsBits'(1))}),
    .data_o({activation_write_o, written_beyond, written_last})
  );

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic [31:0] product;
    logic [7:0]  integer8;

    float_multiply u_multiply (
      .clk_i,
      .a_i      (values_q[lane*32+:32]),
      .b_i      (inverse_q),
      .product_o(product)
    );

    float_to_int #(
      .Width(8)
    ) u_to_int (
      .clk_i,
      .float_i  (product),
      .integer_o(integer8)
    );

    assign activation_data_o[lane*8+:8] = written_beyond ? 8'd0 : integer8;
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      activation_address_o       <= PartBits'(activation) << (SliceBits - LaneBits);
      activation_scale_address_o <= activation_scale;
    end else begin
      if (activation_write_o) begin
        activation_address_o <= activation_address_o + 1'b1;
      end
      if (activation_scale_write_o) begin
        activation_scale_address_o <= activation_scale_address_o + 1'b1;
      end
    end
  end

endmodule
