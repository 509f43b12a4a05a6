// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int9000>>
// CHECK: unknown number format or encoding 'int9000'

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<float8>>
// CHECK: unknown number format or encoding 'float8'

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <nonsense>, per = 32>>
// CHECK: unknown number format or encoding 'nonsense'

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, each = 32>>
// CHECK: unknown key 'each' of an encoding; known: scale, offset, zero, per, sparsity

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, scale = <float16>, per = 32>>
// CHECK: 'scale' is given twice

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = 0>>
// CHECK: expected a block length, `channel` or `tensor`, got 0

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = row>>
// CHECK: a block length, `channel` or `tensor`

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, per = 32>>
// CHECK: `per` says what shares a scale, an offset or a zero point; this encoding has none

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, sparsity = 4:2>>
// CHECK: sparsity 4:2 keeps more than there are

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, sparsity = 0:4>>
// CHECK: expected the number kept, got 0

// -----

"test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32, sparsity = 2:4>>>
// CHECK: a scale cannot be sparse
