// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// First-in first-out queue of any depth; the head stands at read_data_o until read_ready_i takes it.
//
// With WriteWhenFull, a full queue takes a word in the cycle in which its head leaves; without, only the cycle after,
// so that no path leads from read_ready_i to write_ready_o.

module fifo #(
  parameter int Depth         = 2,
  parameter int Width         = 32,
  parameter bit WriteWhenFull = 1'b1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             write_valid_i,
  output logic             write_ready_o,
  input  logic [Width-1:0] write_data_i,
  output logic             read_valid_o,
  input  logic             read_ready_i,
  output logic [Width-1:0] read_data_o
);

  localparam int CountBits   = $clog2(Depth + 1);
  localparam int PointerBits = (Depth > 1) ? $clog2(Depth) : 1;

  logic [Width-1:0]       words [Depth];
  logic [CountBits-1:0]   count_q;
  logic [PointerBits-1:0] head_q;
  logic [PointerBits-1:0] tail_q;
  logic                   push;
  logic                   pop;

  assign read_valid_o  = count_q != '0;
  assign read_data_o   = words[head_q];
  assign pop           = read_valid_o & read_ready_i;
  assign write_ready_o = (count_q != CountBits'(Depth)) | (WriteWhenFull & pop);
  assign push          = write_valid_i & write_ready_o;

  always_ff @(posedge clk_i) begin
    if (push) begin
      words[tail_q] <= write_data_i;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q <= '0;
      head_q  <= '0;
      tail_q  <= '0;
    end else begin
      count_q <= count_q + CountBits'(push) - CountBits'(pop);
      if (pop) begin
        head_q <= (head_q == PointerBits'(Depth - 1)) ? '0 : head_q + 1'b1;
      end
      if (push) begin
        tail_q <= (tail_q == PointerBits'(Depth - 1)) ? '0 : tail_q + 1'b1;
      end
    end
  end

endmodule
