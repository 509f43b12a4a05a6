// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

microcode.program @p {
  microcode.halt
  microcode.halt
}
// CHECK: {{^}}'microcode.halt' must be the last operation in its parent block

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xi8, "weights">
}
// CHECK: {{^}}microcode.program @p must end with microcode.halt

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xi8>
  microcode.halt
}
// CHECK: {{^}}microcode.region: the type must name its memory, memref<4xi8, "weights">; got memref<4xi8>

// -----

microcode.program @p {
  %x = microcode.region -4 : memref<4xi8, "weights">
  microcode.halt
}
// CHECK: {{^}}microcode.region: a region has an offset of 0 or more and a static, positive shape

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<?xi8, "weights">
  microcode.halt
}
// CHECK: {{^}}microcode.region: a region has an offset of 0 or more and a static, positive shape

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xindex, "weights">
  microcode.halt
}
// CHECK: {{^}}microcode.region: a region holds i8 or f32, got index

// -----

microcode.program @p {
  %x = microcode.region 0 holds "bias" of @q rows 0 tokens 0 : memref<4xi8, "memory">
  microcode.halt
}
// CHECK: {{^}}microcode.region: holds one of weight, weight_scale, input, input_scale, result; got 'bias'

// -----

microcode.program @p {
  %x = "microcode.region"() <{offset = 0 : i64, part = "weight"}> : () -> memref<4xi8, "memory">
  microcode.halt
}
// CHECK: {{^}}microcode.region: part, linear, first_row and first_token stand together or not at all

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xi8, "weights">
  %y = microcode.region 0 : memref<4xi8, "results">
  microcode.copy %x to %y : memref<4xi8, "weights"> to memref<4xi8, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.copy: one side is off-chip memory, the other an SRAM

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xi8, "memory">
  %y = microcode.region 0 : memref<4xi8, "memory">
  microcode.copy %x to %y : memref<4xi8, "memory"> to memref<4xi8, "memory">
  microcode.halt
}
// CHECK: {{^}}microcode.copy: one side is off-chip memory, the other an SRAM

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<4xf32, "memory">
  %y = microcode.region 0 : memref<4xi8, "weights">
  microcode.copy %x to %y : memref<4xf32, "memory"> to memref<4xi8, "weights">
  microcode.halt
}
// CHECK: {{^}}microcode.copy: both sides must have the same size, got 16 and 4 bytes

// -----

microcode.program @p {
  %x = "test.op"() : () -> memref<4xi8, "weights">
  microcode.halt
}
// CHECK: {{^}}microcode.program holds regions and instructions, not test.op

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x32xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x32xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: weights are [row tiles, slices, lanes, width] and activations [tokens, slices, width], got [2, 3, 32] and [2, 3, 8]

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x4x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x4x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: activations must have shape [2, 3, 8], got [2, 4, 8]

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<3xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<3xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: activation_scales must have shape [2], got [3]

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<4xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<4xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: weight_scales must have shape [8], got [4]

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x4xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x4xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: outputs must have shape [2, 8], got [2, 4]

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xf32, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xf32, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: weights must hold i8, got f32

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xi8, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xi8, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: outputs must hold f32, got i8

// -----

microcode.program @p {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "memory">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  microcode.matmul %a scaled %s, %w scaled %c into %r : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "memory">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.matmul: weights must lie in an SRAM, not in off-chip memory

// -----

microcode.halt
// CHECK: {{^}}'microcode.halt' expects parent op 'microcode.program'
