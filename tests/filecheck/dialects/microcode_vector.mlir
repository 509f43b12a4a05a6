// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

microcode.program @vectors {
  %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
  %g = microcode.region 256 : memref<2x20xf32, strided<[0, 1]>, "vector">
  %m = microcode.region 512 : memref<2x1xf32, strided<[16, 1]>, "vector">
  %q = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 64 : memref<2xf32, "activation_scales">
  microcode.vector "multiply" %x with %g into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[0, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "reduce_maximum" %x into %m wait ["matmul"] : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">
  microcode.vector "subtract" %x with %m into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.vector "maximum" %x immediate -1.500000e+00 into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
  microcode.quantize %x into %q scaled %s wait ["vector"] : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">
  microcode.halt
}

// CHECK:         microcode.program @vectors {
// CHECK-NEXT:      %x = microcode.region 0 : memref<2x20xf32, strided<[32, 1]>, "vector">
// CHECK-NEXT:      %g = microcode.region 256 : memref<2x20xf32, strided<[0, 1]>, "vector">
// CHECK-NEXT:      %m = microcode.region 512 : memref<2x1xf32, strided<[16, 1]>, "vector">
// CHECK-NEXT:      %q = microcode.region 0 : memref<2x3x8xi8, "activations">
// CHECK-NEXT:      %s = microcode.region 64 : memref<2xf32, "activation_scales">
// CHECK-NEXT:      microcode.vector "multiply" %x with %g into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[0, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
// CHECK-NEXT:      microcode.vector "reduce_maximum" %x into %m wait ["matmul"] : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">
// CHECK-NEXT:      microcode.vector "subtract" %x with %m into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
// CHECK-NEXT:      microcode.vector "maximum" %x immediate -1.500000e+00 into %x : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">
// CHECK-NEXT:      microcode.quantize %x into %q scaled %s wait ["vector"] : memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">
// CHECK-NEXT:      microcode.halt
// CHECK-NEXT:    }

// GENERIC: "microcode.vector"(%x, %m, %x) <{function = "subtract"}> : (memref<2x20xf32, strided<[32, 1]>, "vector">, memref<2x1xf32, strided<[16, 1]>, "vector">, memref<2x20xf32, strided<[32, 1]>, "vector">) -> ()
// GENERIC: "microcode.vector"(%x, %x) <{function = "maximum", immediate = -1.500000e+00 : f32}>
// GENERIC: "microcode.quantize"(%x, %q, %s) <{wait = ["vector"]}>
