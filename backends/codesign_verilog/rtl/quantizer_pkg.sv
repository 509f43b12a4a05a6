// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a quantizer command's bytes go; its scales go to the scales of the same.

package quantizer_pkg;

  typedef enum logic [1:0] {
    Activations,
    Keys,
    Values
  } destination_e;

endpackage
