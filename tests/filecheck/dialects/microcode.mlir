// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

microcode.program @sequence (%prompt_length, %max_tokens) {
  microcode.buffer @hidden in "vector" at 0 size 144
  microcode.buffer @gains in "constants" at 16 size 18
  microcode.buffer @ring in "weights" at 0 size 96 slots 4
  microcode.content "weights" at 4096 of @query rows 32 count 64 layers 30 stride 589824 with {tile = 4 : i64}
  microcode.content "rotary" at 0
  microcode.sync @matmul signal [@load]
  %last = microcode.compute subtract %prompt_length, 1
  %zero = microcode.constant 0
  microcode.for %step to %last {
    %id = microcode.token %step
    %row = microcode.compute multiply %id, %max_tokens
    microcode.for %layer to 30 {
      microcode.issue @load {memory = 7 + %row, sram = 0, address = @ring + %layer, beats = 3} wait [@matmul] signal [@matmul, @vector]
    }
    microcode.issue @vector {function = 2, a = @hidden + 4 + %row, b = @gains, rows = %zero, length = 0}
  }
}
microcode.program @scheduled (%p, %m) {
  microcode.queue @load (%prompt, %max) {
    microcode.sync @load wait [@vector]
  }
  microcode.queue @vector (%prompt, %max) {
  }
}
microcode.program @empty (%p, %m) {
}

// CHECK:         microcode.program @sequence (%prompt_length, %max_tokens) {
// CHECK-NEXT:      microcode.buffer @hidden in "vector" at 0 size 144
// CHECK-NEXT:      microcode.buffer @gains in "constants" at 16 size 18
// CHECK-NEXT:      microcode.buffer @ring in "weights" at 0 size 96 slots 4
// CHECK-NEXT:      microcode.content "weights" at 4096 of @query rows 32 count 64 layers 30 stride 589824 with {tile = 4 : i64}
// CHECK-NEXT:      microcode.content "rotary" at 0
// CHECK-NEXT:      microcode.sync @matmul signal [@load]
// CHECK-NEXT:      %last = microcode.compute subtract %prompt_length, 1
// CHECK-NEXT:      %zero = microcode.constant 0
// CHECK-NEXT:      microcode.for %step to %last {
// CHECK-NEXT:        %id = microcode.token %step
// CHECK-NEXT:        %row = microcode.compute multiply %id, %max_tokens
// CHECK-NEXT:        microcode.for %layer to 30 {
// CHECK-NEXT:          microcode.issue @load {memory = 7 + %row, sram = 0, address = @ring + %layer, beats = 3} wait [@matmul] signal [@matmul, @vector]
// CHECK-NEXT:        }
// CHECK-NEXT:        microcode.issue @vector {function = 2, a = @hidden + 4 + %row, b = @gains, rows = %zero, length = 0}
// CHECK-NEXT:      }
// CHECK-NEXT:    }
// CHECK-NEXT:    microcode.program @scheduled (%p, %m) {
// CHECK-NEXT:      microcode.queue @load (%prompt, %max) {
// CHECK-NEXT:        microcode.sync @load wait [@vector]
// CHECK-NEXT:      }
// CHECK-NEXT:      microcode.queue @vector (%prompt, %max) {
// CHECK-NEXT:      }
// CHECK-NEXT:    }
// CHECK-NEXT:    microcode.program @empty (%p, %m) {
// CHECK-NEXT:    }

// GENERIC: "microcode.program"() <{sym_name = "sequence"}> ({
// GENERIC: "microcode.buffer"() <{sym_name = "ring", memory = "weights", offset = 0 : i64, size = 96 : i64, slots = 4 : i64}> : () -> ()
// GENERIC: %last = "microcode.compute"(%prompt_length) <{function = "subtract", immediate = 1 : i64}> : (index) -> index
// GENERIC: "microcode.for"(%last) ({
// GENERIC: "microcode.for"() <{constant = 30 : i64}> ({
// GENERIC: "microcode.issue"(%row, %layer) <{unit = @load, fields = {memory = 7 : i64, sram = 0 : i64, address = 0 : i64, beats = 3 : i64}, bases = {address = @ring}, indexed = ["memory", "address"], wait = [@matmul], signal = [@matmul, @vector]}> : (index, index) -> ()
