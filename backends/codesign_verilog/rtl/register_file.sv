// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A queue's 32 registers: register 0 reads as 0; start_i sets registers 1 and 2.
//
// What is written in a cycle is read in the next. late_i names in a cycle a register whose value comes in the next one,
// from a memory: a read in that cycle already sees late_data_i.

module register_file
  import microcode_pkg::*;
#(
  parameter int Reads = 2
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic                          start_i,
  input  logic [31:0]                   start_1_i,
  input  logic [31:0]                   start_2_i,
  input  logic                          write_i,
  input  logic [RegisterBits-1:0]       write_number_i,
  input  logic [31:0]                   write_data_i,
  input  logic                          late_i,
  input  logic [RegisterBits-1:0]       late_number_i,
  input  logic [31:0]                   late_data_i,
  input  logic [Reads*RegisterBits-1:0] read_number_i,
  output logic [Reads*32-1:0]           read_data_o
);

  logic [31:0]             words_q [1 << RegisterBits];
  logic                    late_q;
  logic [RegisterBits-1:0] late_number_q;

  for (genvar i = 0; i < Reads; i++) begin : gen_read
    logic [RegisterBits-1:0] number;
    assign number                  = read_number_i[i*RegisterBits+:RegisterBits];
    assign read_data_o[i*32+:32] =
        (late_q & (number == late_number_q)) ? late_data_i : words_q[number];
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      late_q <= 1'b0;
    end else begin
      late_q <= late_i & (late_number_i != '0);
    end
  end

  // A write is younger than the late value that comes in its cycle.
  always_ff @(posedge clk_i) begin
    if (late_i) begin
      late_number_q <= late_number_i;
    end
    if (late_q) begin
      words_q[late_number_q] <= late_data_i;
    end
    if (write_i && write_number_i != '0) begin
      words_q[write_number_i] <= write_data_i;
    end
    if (start_i) begin
      words_q[0] <= '0;
      words_q[1] <= start_1_i;
      words_q[2] <= start_2_i;
    end
  end

endmodule
