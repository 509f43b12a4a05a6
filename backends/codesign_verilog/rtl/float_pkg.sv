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

  // Division and square root find 26 bits, one after another: 24 of the result, one as a quotient may be below 1, and a
  // guard bit. More bits a stage mean fewer stages and a slower clock.
  localparam int BitsPerStage    = 2;
  localparam int RecurrenceSteps = (26 + BitsPerStage - 1) / BitsPerStage;

  typedef enum int {
    Add,
    Compare,
    Divide,
    Exp,
    Max,
    Sqrt,
    ToInt
  } unit_e;

  // Latency of float_add, float_compare and so on.
  function automatic int latency(unit_e unit);
    case (unit)
      Add:          return 4;
      Compare, Max: return 1;
      Divide:       return RecurrenceSteps + 3;
      Exp:          return 8;
      Sqrt:         return RecurrenceSteps + 2;
      ToInt:        return 2;
      default:      return 0;
    endcase
  endfunction

  // Orders floats as signed integers; -0 comes below +0.
  function automatic logic signed [31:0] order_key(logic [31:0] value);
    return $signed(value ^ {1'b0, {31{value[31]}}});
  endfunction

  // Of a float without its sign.
  function automatic logic is_nan(logic [30:0] magnitude);
    return magnitude > {MaxExponent, 23'd0};
  endfunction

endpackage
