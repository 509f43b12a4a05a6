// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The vector unit: one function over rows of float32, a beat of Lanes values a cycle.
// Operands are in an address space of several memories (vector_space), results in the vector memory.
//
// A command takes rows of length values from a, and for a function of two operands as many from b, or one value a row
// (lane 0 of a word), or the command's immediate. It writes as many values to result, or for a reduction one word a row
// with the result in every lane. Lanes of a written word behind the end of a row are +0. Addresses and strides, from a
// row to the next, count words of Lanes values, the first in the lowest bits. Memories answer a read in the next cycle.
// Two functions are of more than one operation: exp(a - b), and the sum of a row's products a * b.
//
// The command is packed from its lowest bit: function, operand (codes in vector_pkg), a, a_stride, b, b_stride, result,
// result_stride, immediate, rows, length (both at least 1).
//
// The next command is taken when every result is written, so it reads them. A command must not read a word that it has
// written for an earlier beat: in place is allowed, shifted is not.
// Accepted in cycle a, it issues in cycles a + 1 to a + issues; done_o stands in cycle a + issues + 3 + latency of the
// function, where issues = rows * beats; it is ready again in the next.
// Operands and functions have clocks that rest when nobody needs them.

module vector #(
  parameter  int Lanes       = 16,  // a power of two, 4 at least
  parameter  int SpaceBits   = 12,  // of an operand's address
  parameter  int ResultBits  = 10,  // of a result's address
  parameter  int RowsBits    = 16,
  parameter  int LengthBits  = 16,
  localparam int CommandBits = 6 + 4 * SpaceBits + 2 * ResultBits + 32 + RowsBits + LengthBits,
  localparam int WordBits    = Lanes * 32
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   command_valid_i,
  output logic                   command_ready_o,
  input  logic [CommandBits-1:0] command_i,
  output logic                   done_o,
  output logic                   a_read_o,
  output logic [SpaceBits-1:0]   a_address_o,
  input  logic [WordBits-1:0]    a_data_i,
  output logic                   b_read_o,
  output logic [SpaceBits-1:0]   b_address_o,
  input  logic [WordBits-1:0]    b_data_i,
  output logic                   result_write_o,
  output logic [ResultBits-1:0]  result_address_o,
  output logic [WordBits-1:0]    result_data_o
);

  localparam int LaneBits         = $clog2(Lanes);
  localparam int BeatsBits        = LengthBits - LaneBits;
  localparam int AddLatency       = float_pkg::latency(float_pkg::Add);
  localparam int DivideLatency    = float_pkg::latency(float_pkg::Divide);
  localparam int ExpLatency       = float_pkg::latency(float_pkg::Exp);
  localparam int MaxLatency       = float_pkg::latency(float_pkg::Max);
  localparam int SqrtLatency      = float_pkg::latency(float_pkg::Sqrt);
  // A reduction: the tree's levels, then the accumulator; of products, and a sum's running sums two by two.
  localparam int MultiplyLatency  = float_pkg::FloatMultiplyLatency;
  localparam int TreeSumLatency   = MultiplyLatency + LaneBits * AddLatency;
  localparam int ReduceSumLatency = TreeSumLatency + 3 * AddLatency;
  localparam int ReduceMaxLatency = (LaneBits + 1) * MaxLatency;
  localparam int Longest          =
      (ReduceSumLatency > DivideLatency) ? ReduceSumLatency : DivideLatency;
  localparam int DelayBits        = $clog2(Longest + 1);

  localparam logic [31:0] One = 32'h3F80_0000;

  // The command.
  logic                   active_q;
  logic                   accept;
  logic [SpaceBits-1:0]   a;
  logic [SpaceBits-1:0]   a_stride;
  logic [SpaceBits-1:0]   b;
  logic [SpaceBits-1:0]   b_stride;
  logic [ResultBits-1:0]  result;
  logic [ResultBits-1:0]  result_stride;
  logic [31:0]            immediate;
  logic [RowsBits-1:0]    rows;
  logic [LengthBits-1:0]  length;
  logic [3:0]             function_code;
  logic [1:0]             operand_code;

  assign {length, rows, immediate, result_stride, result, b_stride, b, a_stride, a, operand_code,
          function_code} = command_i;

  logic [3:0]             function_q;
  logic [1:0]             operand_q;
  logic [SpaceBits-1:0]   a_stride_q;
  logic [SpaceBits-1:0]   b_stride_q;
  logic [ResultBits-1:0]  result_stride_q;
  logic [31:0]            immediate_q;
  logic [RowsBits-1:0]    rows_q;
  logic [LengthBits-1:0]  last_q;  // place of a row's last value
  logic [BeatsBits-1:0]   last_beat;
  logic [Lanes-1:0]       tail;    // lanes of the last beat that a row fills
  logic                   sums;
  logic                   reduces;

  assign command_ready_o = ~active_q;
  assign accept          = command_valid_i & command_ready_o;

  always_ff @(posedge clk_i) begin
    if (accept) begin
      function_q      <= function_code;
      operand_q       <= operand_code;
      a_stride_q      <= a_stride;
      b_stride_q      <= b_stride;
      result_stride_q <= result_stride;
      immediate_q     <= immediate;
      rows_q          <= rows;
      last_q          <= length - 1'b1;
    end
  end

  assign last_beat = last_q[LengthBits-1:LaneBits];
  assign sums      = function_q == vector_pkg::ReduceSum;
  assign reduces   = sums | (function_q == vector_pkg::ReduceMaximum);
  // All but the Lanes - 1 - last behind it.
  assign tail = {Lanes{1'b1}} >> ~last_q[LaneBits-1:0];

  // Read.
  logic issue;
  logic issue_first;
  logic issue_last;

  vector_sequencer #(
    .RowsBits (RowsBits),
    .BeatsBits(BeatsBits)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .start_i     (accept),
    .rows_i      (rows_q),
    .last_beat_i (last_beat),
    .issue_o     (issue),
    .first_beat_o(issue_first),
    .last_beat_o (issue_last)
  );

  assign a_read_o = issue;
  assign b_read_o = issue & (operand_q != vector_pkg::Immediate);

  vector_address #(
    .Bits(SpaceBits)
  ) u_a_address (
    .clk_i,
    .load_i     (accept),
    .base_i     (a),
    .step_i     (issue),
    .last_beat_i(issue_last),
    .stride_i   (a_stride_q),
    .beat_step_i(1'b1),
    .address_o  (a_address_o)
  );

  vector_address #(
    .Bits(SpaceBits)
  ) u_b_address (
    .clk_i,
    .load_i     (accept),
    .base_i     (b),
    .step_i     (issue),
    .last_beat_i(issue_last),
    .stride_i   (b_stride_q),
    .beat_step_i(operand_q == vector_pkg::Words),
    .address_o  (b_address_o)
  );

  // Clocks of the operands and of each function.
  logic data_clk;
  logic sum_clk;
  logic maximum_clk;
  logic multiply_clk;
  logic divide_clk;
  logic exp_clk;
  logic sqrt_clk;
  logic subtracts;
  logic adds;
  logic maximizes;
  logic multiplies;
  logic divides;

  assign subtracts  = (function_q == vector_pkg::Subtract) | (function_q == vector_pkg::Exp);
  assign adds       = sums | subtracts | (function_q == vector_pkg::Add);
  assign maximizes  =
      (function_q == vector_pkg::Maximum) | (function_q == vector_pkg::ReduceMaximum);
  assign multiplies = sums | (function_q == vector_pkg::Multiply);
  assign divides    = (function_q == vector_pkg::Divide) | (function_q == vector_pkg::Reciprocal);

  clock_gate u_data_clock (
    .clk_i,
    .enable_i(active_q),
    .clk_o   (data_clk)
  );

  clock_gate u_sum_clock (
    .clk_i,
    .enable_i(active_q & adds),
    .clk_o   (sum_clk)
  );

  clock_gate u_maximum_clock (
    .clk_i,
    .enable_i(active_q & maximizes),
    .clk_o   (maximum_clk)
  );

  clock_gate u_multiply_clock (
    .clk_i,
    .enable_i(active_q & multiplies),
    .clk_o   (multiply_clk)
  );

  clock_gate u_divide_clock (
    .clk_i,
    .enable_i(active_q & divides),
    .clk_o   (divide_clk)
  );

  clock_gate u_exp_clock (
    .clk_i,
    .enable_i(active_q & (function_q == vector_pkg::Exp)),
    .clk_o   (exp_clk)
  );

  clock_gate u_sqrt_clock (
    .clk_i,
    .enable_i(active_q & (function_q == vector_pkg::SquareRoot)),
    .clk_o   (sqrt_clk)
  );

  // Operands, registered. What follows the end of a row counts for nothing in a reduction.
  logic                read_q;
  logic                read_first_q;
  logic                read_last_q;
  logic [WordBits-1:0] a_operand_q;
  logic [WordBits-1:0] b_operand_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      read_q <= 1'b0;
    end else begin
      read_q <= issue;
    end
  end

  always_ff @(posedge clk_i) begin
    read_first_q <= issue_first;
    read_last_q  <= issue_last;
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_operand
    logic [31:0] a_value;
    logic [31:0] b_value;

    assign a_value = a_data_i[lane*32+:32];
    assign b_value = (operand_q == vector_pkg::Words) ? b_data_i[lane*32+:32] :
                     (operand_q == vector_pkg::Scalar) ? b_data_i[31:0] : immediate_q;

    always_ff @(posedge data_clk) begin
      a_operand_q[lane*32+:32] <= a_value;
      b_operand_q[lane*32+:32] <= b_value;
      if (reduces && read_last_q && !tail[lane]) begin
        a_operand_q[lane*32+:32] <= vector_pkg::neutral(~sums);
        b_operand_q[lane*32+:32] <= One;
      end
      if (subtracts) begin
        b_operand_q[lane*32+31] <= ~b_value[31];
      end
      if (function_q == vector_pkg::Reciprocal) begin
        a_operand_q[lane*32+:32] <= One;
        b_operand_q[lane*32+:32] <= a_value;
      end
    end
  end

  // What goes with the operands: bit i of either is i cycles behind them. A result is whole when a row's last beat is
  // in a reduction, and with every beat elsewhere. Those of a command do not outlive it: the next may take longer.
  logic [Longest:0]     whole_q;
  logic [Longest:0]     first_q;
  logic [DelayBits-1:0] latency;
  logic                 finish;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      whole_q <= '0;
      first_q <= '0;
    end else begin
      whole_q <= accept ? '0 : {whole_q[Longest-1:0], read_q & (~reduces | read_last_q)};
      first_q <= {first_q[Longest-1:0], read_first_q};
    end
  end

  always_comb begin
    case (function_q)
      vector_pkg::Multiply:                       latency = DelayBits'(MultiplyLatency);
      vector_pkg::Divide, vector_pkg::Reciprocal: latency = DelayBits'(DivideLatency);
      vector_pkg::Maximum:                        latency = DelayBits'(MaxLatency);
      vector_pkg::Exp:                            latency = DelayBits'(AddLatency + ExpLatency);
      vector_pkg::SquareRoot:                     latency = DelayBits'(SqrtLatency);
      vector_pkg::ReduceSum:                      latency = DelayBits'(ReduceSumLatency);
      vector_pkg::ReduceMaximum:                  latency = DelayBits'(ReduceMaxLatency);
      default:                                    latency = DelayBits'(AddLatency);
    endcase
  end

  assign finish = whole_q[latency];

  // The place of the result in the array.
  logic [BeatsBits-1:0] beat_q;
  logic [RowsBits-1:0]  row_q;
  logic                 finish_last;
  logic [Lanes-1:0]     keep;
  logic                 write_q;
  logic                 write_last_q;
  logic                 write_end_q;

  assign finish_last = reduces | (beat_q == last_beat);
  assign keep        = (reduces | ~finish_last) ? '1 : tail;

  always_ff @(posedge clk_i) begin
    write_last_q <= finish_last;
    write_end_q  <= finish_last & (row_q + 1'b1 == rows_q);
    if (accept) begin
      beat_q <= '0;
      row_q  <= '0;
    end else if (finish) begin
      beat_q <= finish_last ? '0 : beat_q + 1'b1;
      row_q  <= finish_last ? row_q + 1'b1 : row_q;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      write_q  <= 1'b0;
    end else begin
      active_q <= accept | (active_q & ~done_o);
      write_q  <= finish;
    end
  end

  vector_address #(
    .Bits(ResultBits)
  ) u_result_address (
    .clk_i,
    .load_i     (accept),
    .base_i     (result),
    .step_i     (write_q),
    .last_beat_i(write_last_q),
    .stride_i   (result_stride_q),
    .beat_step_i(1'b1),
    .address_o  (result_address_o)
  );

  assign result_write_o = write_q;
  assign done_o         = write_q & write_end_q;

  // Functions.
  logic [WordBits-1:0] product;
  logic [WordBits-1:0] sum;
  logic [WordBits-1:0] maximum;
  logic [31:0]         total;

  vector_combine #(
    .Lanes    (Lanes),
    .IsMaximum(1'b0)
  ) u_sum (
    .clk_i    (sum_clk),
    .reduce_i (reduces),
    .first_i  (|first_q[TreeSumLatency+:AddLatency]),
    .beat_i   (product),
    .a_i      (a_operand_q),
    .b_i      (b_operand_q),
    .results_o(sum)
  );

  row_sum u_row_sum (
    .clk_i       (sum_clk),
    .running_i   (sum[WordBits-1-:32]),
    .alone_i     (first_q[TreeSumLatency+AddLatency]),
    .pair_alone_i(|first_q[TreeSumLatency+2*AddLatency+:2]),
    .sum_o       (total)
  );

  vector_combine #(
    .Lanes    (Lanes),
    .IsMaximum(1'b1)
  ) u_maximum (
    .clk_i    (maximum_clk),
    .reduce_i (reduces),
    .first_i  (first_q[LaneBits*MaxLatency]),
    .beat_i   (a_operand_q),
    .a_i      (a_operand_q),
    .b_i      (b_operand_q),
    .results_o(maximum)
  );

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    vector_lane u_lane (
      .data_clk_i    (data_clk),
      .multiply_clk_i(multiply_clk),
      .divide_clk_i  (divide_clk),
      .exp_clk_i     (exp_clk),
      .sqrt_clk_i    (sqrt_clk),
      .function_i    (function_q),
      .keep_i        (keep[lane]),
      .a_i           (a_operand_q[lane*32+:32]),
      .b_i           (b_operand_q[lane*32+:32]),
      .sum_i         (sum[lane*32+:32]),
      .maximum_i     (maximum[lane*32+:32]),
      .row_sum_i     (total),
      .row_maximum_i (maximum[WordBits-1-:32]),
      .product_o     (product[lane*32+:32]),
      .result_o      (result_data_o[lane*32+:32])
    );
  end

endmodule
