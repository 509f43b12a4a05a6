// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sends a write to the one of Targets memories that select_i numbers; to none beyond the last.

module write_select #(
  parameter  int Targets    = 3,
  localparam int SelectBits = (Targets > 1) ? $clog2(Targets) : 1
) (
  input  logic                  write_i,
  input  logic [SelectBits-1:0] select_i,
  output logic [Targets-1:0]    write_o
);

  for (genvar target = 0; target < Targets; target++) begin : gen_target
    assign write_o[target] = write_i & (select_i == SelectBits'(target));
  end

endmodule
