// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One static RAM: one write port, one synchronous read port. The point where a technology swaps in its own macro.
//
// read_data_o holds its value until the next read. Reading an address in the cycle that writes it gives an unstated
// value: nobody does so.

module sram #(
  parameter  int Depth       = 1024,
  parameter  int Width       = 32,
  localparam int AddressBits = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                   clk_i,
  input  logic                   write_i,
  input  logic [AddressBits-1:0] write_address_i,
  input  logic [Width-1:0]       write_data_i,
  input  logic                   read_i,
  input  logic [AddressBits-1:0] read_address_i,
  output logic [Width-1:0]       read_data_o
);

  logic [Width-1:0] words[Depth];

`ifndef SYNTHESIS
  // A memory powers up with unknown values. None decides anything, but to a simulator zero times unknown is unknown.
  initial begin
    for (int i = 0; i < Depth; i++) begin
      words[i] = '0;
    end
  end
`endif

  always_ff @(posedge clk_i) begin
    if (write_i) begin
      words[write_address_i] <= write_data_i;
    end
    if (read_i) begin
      read_data_o <= words[read_address_i];
    end
  end

endmodule
