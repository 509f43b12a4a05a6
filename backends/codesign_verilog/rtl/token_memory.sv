// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The token ids of prompt and answer by position: one write port, a synchronous read port for each of Readers readers.
//
// Each read port is as that of sram; every reader has a copy of the words, so that none waits for another.

module token_memory #(
  parameter  int Depth       = 1024,
  parameter  int Readers     = 2,
  localparam int AddressBits = (Depth > 1) ? $clog2(Depth) : 1
) (
  input  logic                           clk_i,
  input  logic                           write_i,
  input  logic [AddressBits-1:0]         write_address_i,
  input  logic [31:0]                    write_data_i,
  input  logic [Readers-1:0]             read_i,
  input  logic [Readers*AddressBits-1:0] read_address_i,
  output logic [Readers*32-1:0]          read_data_o
);

  for (genvar i = 0; i < Readers; i++) begin : gen_reader
    sram #(
      .Depth(Depth),
      .Width(32)
    ) u_copy (
      .clk_i,
      .write_i,
      .write_address_i,
      .write_data_i,
      .read_i        (read_i[i]),
      .read_address_i(read_address_i[i*AddressBits+:AddressBits]),
      .read_data_o   (read_data_o[i*32+:32])
    );
  end

endmodule
