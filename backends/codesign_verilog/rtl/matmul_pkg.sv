// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the parts of the matmul unit must agree on.

package matmul_pkg;

  // Where a command's weights and their scales are: each in their own memory, keys of kv, values of kv with scale 1.
  typedef enum logic [1:0] {
    Weights,
    Keys,
    Values
  } source_e;

  // Register stages of dot_product: one after the last adder level, and one before every `levels_per_stage` levels.
  function automatic int dot_product_latency(int width, int levels_per_stage);
    return 1 + $clog2(width) / levels_per_stage;
  endfunction

endpackage
