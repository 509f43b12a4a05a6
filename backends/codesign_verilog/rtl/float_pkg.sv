// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Constants of the float library: IEEE 754 binary32, round to nearest even, subnormals kept, one canonical NaN.
//
// Every float_* and *_to_float module is a free-running pipeline: operands taken at a clock edge come out as the
// result after the stated number of edges. Whoever needs a valid bit delays it by the same number.

package float_pkg;

  localparam int IntToFloatLatency    = 2;
  localparam int FloatMultiplyLatency = 3;

  localparam logic [31:0] CanonicalNan  = 32'h7FC0_0000;
  localparam logic [7:0]  MaxExponent   = 8'hFF;  // biased exponent of infinities and NaNs
  localparam int          ExponentBias  = 127;

endpackage
