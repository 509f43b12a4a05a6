// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The address space that the units of the vector queue read: words of Lanes floats of four memories.
//
// The top two bits of an address choose the memory: 0 vector, 1 results, 2 constants, 3 value_scales. Port a, which the
// vector unit, the quantizer and the argmax unit share as only one of them is active, reads the first three; port b,
// the vector unit's alone, 0, 2 and 3. Memories answer in the next cycle and hold the answer, and so does the space.

module vector_space #(
  parameter  int Lanes          = 16,
  parameter  int VectorBits     = 10,
  parameter  int ResultsBits    = 10,
  parameter  int ConstantsBits  = 10,
  parameter  int ValueScaleBits = 10,
  parameter  int SpaceBits      = 12,  // two more than the widest of the four
  localparam int WordBits       = Lanes * 32
) (
  input  logic                      clk_i,
  // Readers of port a.
  input  logic                      vector_a_read_i,
  input  logic [SpaceBits-1:0]      vector_a_address_i,
  input  logic                      quantizer_read_i,
  input  logic [SpaceBits-1:0]      quantizer_address_i,
  input  logic                      argmax_read_i,
  input  logic [SpaceBits-1:0]      argmax_address_i,
  output logic [WordBits-1:0]       a_data_o,
  // Port b.
  input  logic                      vector_b_read_i,
  input  logic [SpaceBits-1:0]      vector_b_address_i,
  output logic [WordBits-1:0]       b_data_o,
  // Memories of port a.
  output logic                      vector_a_read_o,
  output logic [VectorBits-1:0]     vector_a_address_o,
  input  logic [WordBits-1:0]       vector_a_data_i,
  output logic                      results_read_o,
  output logic [ResultsBits-1:0]    results_address_o,
  input  logic [WordBits-1:0]       results_data_i,
  output logic                      constants_a_read_o,
  output logic [ConstantsBits-1:0]  constants_a_address_o,
  input  logic [WordBits-1:0]       constants_a_data_i,
  // Memories of port b.
  output logic                      vector_b_read_o,
  output logic [VectorBits-1:0]     vector_b_address_o,
  input  logic [WordBits-1:0]       vector_b_data_i,
  output logic                      constants_b_read_o,
  output logic [ConstantsBits-1:0]  constants_b_address_o,
  input  logic [WordBits-1:0]       constants_b_data_i,
  output logic                      value_scales_read_o,
  output logic [ValueScaleBits-1:0] value_scales_address_o,
  input  logic [WordBits-1:0]       value_scales_data_i
);

  localparam int WordAddressBits = SpaceBits - 2;

  localparam logic [1:0] Vector      = 2'd0;
  localparam logic [1:0] Results     = 2'd1;
  localparam logic [1:0] Constants   = 2'd2;
  localparam logic [1:0] ValueScales = 2'd3;

  logic                       a_read;
  logic [1:0]                 a_memory, b_memory;
  logic [WordAddressBits-1:0] a_word, b_word;

  assign a_read = vector_a_read_i | quantizer_read_i | argmax_read_i;

  assign {a_memory, a_word} = quantizer_read_i ? quantizer_address_i :
                              argmax_read_i ? argmax_address_i : vector_a_address_i;
  assign {b_memory, b_word} = vector_b_address_i;

  assign vector_a_read_o        = a_read & (a_memory == Vector);
  assign vector_a_address_o     = VectorBits'(a_word);
  assign results_read_o         = a_read & (a_memory == Results);
  assign results_address_o      = ResultsBits'(a_word);
  assign constants_a_read_o     = a_read & (a_memory == Constants);
  assign constants_a_address_o  = ConstantsBits'(a_word);
  assign vector_b_read_o        = vector_b_read_i & (b_memory == Vector);
  assign vector_b_address_o     = VectorBits'(b_word);
  assign constants_b_read_o     = vector_b_read_i & (b_memory == Constants);
  assign constants_b_address_o  = ConstantsBits'(b_word);
  assign value_scales_read_o    = vector_b_read_i & (b_memory == ValueScales);
  assign value_scales_address_o = ValueScaleBits'(b_word);

  // The widest memory may be the other port's.
  logic unused_words;

  assign unused_words = ^{a_word, b_word};

  // Whose answers stand.
  logic [1:0] a_memory_q, b_memory_q;

  always_ff @(posedge clk_i) begin
    if (a_read) begin
      a_memory_q <= a_memory;
    end
    if (vector_b_read_i) begin
      b_memory_q <= b_memory;
    end
  end

  assign a_data_o = (a_memory_q == Results) ? results_data_i :
                    (a_memory_q == Constants) ? constants_a_data_i : vector_a_data_i;
  assign b_data_o = (b_memory_q == ValueScales) ? value_scales_data_i :
                    (b_memory_q == Constants) ? constants_b_data_i : vector_b_data_i;

endmodule
