// Copyright the Codesign authors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The encoding of microcode: an instruction is, from its lowest bit, opcode, wait, signal and payload.

package microcode_pkg;

  localparam int OpcodeBits   = 4;
  localparam int RegisterBits = 5;
  localparam int TargetBits   = 16;

  // Opcode 8 + u issues the command in the payload to the queue's unit u.
  typedef enum logic [OpcodeBits-1:0] {
    OpHalt    = 4'd0,
    OpCompute = 4'd1,
    OpBranch  = 4'd2,
    OpToken   = 4'd3,
    OpSync    = 4'd4,
    OpIssue   = 4'd8
  } opcode_e;

  typedef enum logic [2:0] {
    FnAdd        = 3'd0,
    FnSubtract   = 3'd1,
    FnMultiply   = 3'd2,
    FnShiftRight = 3'd3,
    FnAnd        = 3'd4,
    FnMinimum    = 3'd5
  } function_e;

  // Payloads.
  typedef struct packed {
    logic [31:0]             immediate;
    logic [RegisterBits-1:0] b;
    logic                    from_register;
    logic [RegisterBits-1:0] a;
    logic [RegisterBits-1:0] destination;
    function_e               name;
  } compute_t;

  typedef struct packed {
    logic [31:0]             immediate;
    logic [TargetBits-1:0]   target;
    logic [RegisterBits-1:0] b;
    logic [RegisterBits-1:0] a;
    logic                    not_less;
    logic                    from_register;
  } branch_t;

  typedef struct packed {
    logic [RegisterBits-1:0] a;
    logic [RegisterBits-1:0] destination;
  } token_t;

endpackage
