// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The codes of a vector command, and how long each function takes.

package vector_pkg;

  typedef enum logic [3:0] {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Exp,
    SquareRoot,
    Reciprocal,
    ReduceSum,
    ReduceMaximum
  } function_e;

  // Where operand b comes from: words like those of a, lane 0 of one word a row, or the command itself.
  typedef enum logic [1:0] {
    Words,
    Scalar,
    Immediate
  } operand_e;

  // What changes no maximum: -infinity; what changes no sum: -0.
  function automatic logic [31:0] neutral(logic is_maximum);
    return is_maximum ? 32'hFF80_0000 : 32'h8000_0000;
  endfunction

endpackage
