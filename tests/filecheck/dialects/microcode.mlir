// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

microcode.program @layer0 {
  %a = microcode.region 0 : memref<2x3x8xi8, "activations">
  %s = microcode.region 64 : memref<2xf32, "activation_scales">
  %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
  %c = microcode.region 0 : memref<8xf32, "weight_scales">
  %r = microcode.region 0 : memref<2x8xf32, "results">
  %stored = microcode.region 4096 holds "weight" of @layers.query rows 8 tokens 0 : memref<2x3x4x8xi8, "memory">
  %out = microcode.region 8192 holds "result" of @layers.query rows 8 tokens 2 : memref<2x8xf32, "memory">
  microcode.copy %stored to %w : memref<2x3x4x8xi8, "memory"> to memref<2x3x4x8xi8, "weights">
  microcode.matmul %a scaled %s, %w scaled %c into %r wait ["dma", "matmul"] : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
  microcode.copy %r to %out wait ["matmul"] : memref<2x8xf32, "results"> to memref<2x8xf32, "memory">
  microcode.halt wait ["dma", "matmul"]
}
microcode.program @empty {
  microcode.halt
}

// CHECK:         microcode.program @layer0 {
// CHECK-NEXT:      %a = microcode.region 0 : memref<2x3x8xi8, "activations">
// CHECK-NEXT:      %s = microcode.region 64 : memref<2xf32, "activation_scales">
// CHECK-NEXT:      %w = microcode.region 0 : memref<2x3x4x8xi8, "weights">
// CHECK-NEXT:      %c = microcode.region 0 : memref<8xf32, "weight_scales">
// CHECK-NEXT:      %r = microcode.region 0 : memref<2x8xf32, "results">
// CHECK-NEXT:      %stored = microcode.region 4096 holds "weight" of @layers.query rows 8 tokens 0 : memref<2x3x4x8xi8, "memory">
// CHECK-NEXT:      %out = microcode.region 8192 holds "result" of @layers.query rows 8 tokens 2 : memref<2x8xf32, "memory">
// CHECK-NEXT:      microcode.copy %stored to %w : memref<2x3x4x8xi8, "memory"> to memref<2x3x4x8xi8, "weights">
// CHECK-NEXT:      microcode.matmul %a scaled %s, %w scaled %c into %r wait ["dma", "matmul"] : memref<2x3x8xi8, "activations">, memref<2xf32, "activation_scales">, memref<2x3x4x8xi8, "weights">, memref<8xf32, "weight_scales">, memref<2x8xf32, "results">
// CHECK-NEXT:      microcode.copy %r to %out wait ["matmul"] : memref<2x8xf32, "results"> to memref<2x8xf32, "memory">
// CHECK-NEXT:      microcode.halt wait ["dma", "matmul"]
// CHECK-NEXT:    }
// CHECK-NEXT:    microcode.program @empty {
// CHECK-NEXT:      microcode.halt
// CHECK-NEXT:    }

// GENERIC: "microcode.program"() <{sym_name = "layer0"}> ({
// GENERIC: %out = "microcode.region"() <{offset = 8192 : i64, part = "result", linear = @layers.query, first_row = 8 : i64, first_token = 2 : i64}> : () -> memref<2x8xf32, "memory">
// GENERIC: "microcode.copy"(%r, %out) <{wait = ["matmul"]}> : (memref<2x8xf32, "results">, memref<2x8xf32, "memory">) -> ()
// GENERIC: "microcode.halt"() : () -> ()
