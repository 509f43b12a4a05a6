// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

microcode.program @p (%p, %m) {
  %x = "test.op"() : () -> index
}
// CHECK: {{^}}microcode.program holds buffers, contents, instructions and queues, not test.op

// -----

microcode.program @p (%p) {
}
// CHECK: {{^}}microcode.program takes two arguments of type index: the prompt length and the tokens to generate

// -----

microcode.program @p (%p, %m) {
  microcode.sync @load
  microcode.buffer @b in "vector" at 0 size 1
}
// CHECK: {{^}}microcode.buffer: buffers and contents stand before the instructions

// -----

microcode.program @p (%p, %m) {
  microcode.buffer @b in "vector" at 0 size 1
  microcode.buffer @b in "vector" at 1 size 1
}
// CHECK: {{^}}microcode.buffer: the name @b is taken

// -----

microcode.program @p (%p, %m) {
  microcode.sync @load
  microcode.queue @load (%a, %b) {
  }
}
// CHECK: {{^}}microcode.program holds instructions in program order or queues, not both

// -----

microcode.program @p (%p, %m) {
  microcode.issue @load {memory = @b}
}
// CHECK: {{^}}microcode.issue @load: memory: no buffer is called @b

// -----

microcode.program @p (%p, %m) {
  microcode.buffer @b in "vector" at 0 size 0
}
// CHECK: {{^}}microcode.buffer @b: an offset is 0 or more and a size 1 or more

// -----

microcode.program @p (%p, %m) {
  microcode.buffer @b in "vector" at 0 size 9 slots 2
}
// CHECK: {{^}}microcode.buffer @b: 9 words do not make 2 equal slots

// -----

microcode.program @p (%p, %m) {
  "microcode.content"() <{kind = "weights", offset = 0 : i64, rows = 4 : i64}> : () -> ()
}
// CHECK: {{^}}microcode.content: first_row and rows stand together or not at all

// -----

microcode.program @p (%p, %m) {
  microcode.content "weights" at 0 layers 0 stride 4
}
// CHECK: {{^}}microcode.content: offset, first row and stride are 0 or more, rows and layers 1 or more

// -----

microcode.program @p (%p, %m) {
  %x = microcode.constant 4294967296
}
// CHECK: {{^}}microcode.constant: a number is 0 or more and less than 2^32, got 4294967296

// -----

microcode.program @p (%p, %m) {
  %x = microcode.compute divide %p, %m
}
// CHECK: {{^}}microcode.compute: a function is one of add, subtract, multiply, shift_right, and, minimum; got 'divide'

// -----

microcode.program @p (%p, %m) {
  %x = "microcode.compute"(%p) <{function = "add"}> : (index) -> index
}
// CHECK: {{^}}microcode.compute: the second operand is a register or a number, one of the two

// -----

microcode.program @p (%p, %m) {
  "microcode.for"(%p) <{constant = 3 : i64}> ({
  ^body(%i : index):
  }) : (index) -> ()
}
// CHECK: {{^}}microcode.for: the count is a register or a number, one of the two

// -----

microcode.program @p (%p, %m) {
  "microcode.for"(%p) ({
  ^body:
  }) : (index) -> ()
}
// CHECK: {{^}}microcode.for: the body takes the counter, one argument of type index

// -----

microcode.program @p (%p, %m) {
  microcode.for %i to %p {
    microcode.buffer @b in "vector" at 0 size 1
  }
}
// CHECK: {{^}}'microcode.buffer' expects parent op 'microcode.program'

// -----

microcode.program @p (%p, %m) {
  microcode.for %i to %p {
    %x = "test.op"() : () -> index
  }
}
// CHECK: {{^}}microcode.for holds instructions, not test.op

// -----

microcode.program @p (%p, %m) {
  microcode.sync @load wait [@vector, @vector]
}
// CHECK: {{^}}microcode.sync: a queue is waited for or signalled once

// -----

microcode.program @p (%p, %m) {
  microcode.queue @load (%a, %b) {
    microcode.sync @vector
  }
}
// CHECK: {{^}}microcode.sync @vector stands in the queue @load

// -----

microcode.program @p (%p, %m) {
  microcode.queue @load (%a, %b) {
    microcode.issue @load {memory = %p}
  }
}
// CHECK: {{^}}Operation using value defined out of its IsolatedFromAbove parent

// -----

microcode.program @p (%p, %m) {
  microcode.issue @load {memory = 1, memory = 2}
}
// CHECK: a field of @load is given twice

// -----

microcode.program @p (%p, %m) {
  microcode.issue @load {memory = 1 + %p + 2}
}
// CHECK: memory: one number, one buffer and one register at most

// -----

microcode.program @p (%p, %m) {
  "microcode.issue"(%p) <{unit = @load, fields = {memory = 1 : i64}}> : (index) -> ()
}
// CHECK: {{^}}microcode.issue: 1 registers for the fields

// -----

microcode.program @p (%p, %m) {
  "microcode.issue"() <{unit = @load, fields = {memory = "one"}}> : () -> ()
}
// CHECK: {{^}}microcode.issue: memory is a number of 0 or more, got "one"

// -----

microcode.program @p (%p, %m) {
  "microcode.issue"() <{unit = @load, fields = {memory = 1 : i64}, bases = {memory = 3 : i64}}> : () -> ()
}
// CHECK: {{^}}microcode.issue: the base of memory names a buffer, got 3 : i64

// -----

microcode.program @p (%p, %m) {
  "microcode.issue"(%p) <{unit = @load, fields = {memory = 1 : i64}, indexed = ["beats"]}> : (index) -> ()
}
// CHECK: {{^}}microcode.issue: no number is given for beats
