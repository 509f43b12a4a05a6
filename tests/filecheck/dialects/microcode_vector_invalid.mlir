// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "sine" %x into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: a function is one of add, subtract, multiply, divide, maximum, exp, square_root, reciprocal, reduce_sum, reduce_maximum; got 'sine'

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<20xf32, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "exp" %x into %d : memref<20xf32, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the source is [rows, length], got [20]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "add" %x into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: add takes a second operand or an immediate

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %b = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "add" %x with %b immediate 1.0 into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: add takes a second operand or an immediate

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %b = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "exp" %x with %b into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: exp takes one operand

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x1xf32, strided<[16, 1]>, "vector">
  microcode.vector "reduce_sum" %x immediate 1.0 into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: reduce_sum takes one operand

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %b = microcode.region 0 : memref<1x20xf32, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "add" %x with %b into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<1x20xf32, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the second operand must have shape [2, 20] or [2, 1], got [1, 20]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x1xf32, strided<[16, 1]>, "vector">
  microcode.vector "exp" %x into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the destination of exp must have shape [2, 20], got [2, 1]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "reduce_sum" %x into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the destination of reduce_sum must have shape [2, 1], got [2, 20]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, "results">
  microcode.vector "exp" %x into %d : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, "results">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: works on f32 in the SRAM "vector", got memref<2x20xf32, "results">

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xi8, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "exp" %x into %d : memref<2x20xi8, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: works on f32 in the SRAM "vector", got memref<2x20xi8, "vector">

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[40, 2]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "exp" %x into %d : memref<2x20xf32, strided<[40, 2]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the values of a row lie side by side, and rows at a static stride; got memref<2x20xf32, strided<[40, 2]>, "vector">

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[?, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "exp" %x into %d : memref<2x20xf32, strided<[?, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.halt
}
// CHECK: {{^}}microcode.vector: the values of a row lie side by side, and rows at a static stride; got memref<2x20xf32, strided<[?, 1]>, "vector">

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %d = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  "microcode.vector"(%x, %d) <{function = "add", immediate = 0x7F800000 : f32}> : (memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">) -> ()
  microcode.halt
}
// CHECK: {{^}}microcode.vector: an immediate is finite, got inf

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<20xf32, "vector">
  %q = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<20xf32, "vector">, memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: the source is [rows, length] and the activations are [rows, slices, width], got [20] and [2, 3, 8]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %q = microcode.region 0 : memref<2x2x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x2x8xi8, "activations">, memref<2xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: activations and scales must have shapes [2, 3, 8] and [2], got [2, 2, 8] and [2]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %q = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<1xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xi8, "activations">, memref<1xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: activations and scales must have shapes [2, 3, 8] and [2], got [2, 3, 8] and [1]

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %q = microcode.region 0 : memref<2x3x8xf32, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xf32, "activations">, memref<2xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: activations must hold i8, got f32

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %q = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xi8, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xi8, "activations">, memref<2xi8, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: scales must hold f32, got i8

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %q = microcode.region 0 : memref<2x3x8xi8, "memory">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xi8, "memory">, memref<2xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: activations must lie in an SRAM, not in off-chip memory

// -----

microcode.program @p {
  %x = microcode.region 0 : memref<2x20xf32, "results">
  %q = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 0 : memref<2xf32, "activation_scales">
  microcode.quantize %x into %q scaled %s : memref<2x20xf32, "results">, memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">
  microcode.halt
}
// CHECK: {{^}}microcode.quantize: works on f32 in the SRAM "vector", got memref<2x20xf32, "results">
