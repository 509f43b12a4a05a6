// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

%0 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
%1 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int4, scale = <float16>, per = 64>>
%2 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
%3 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <float16>, offset = <float16>, per = 16>>
%4 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <uint6, scale = <float16>, per = 4>, offset = <uint6, scale = <float16>, per = 4>, per = 16>>
%5 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = channel, sparsity = 2:4>>
%6 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<bfloat16>>
%7 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<fp8_e4m3>>
%8 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<ternary, scale = <float32>, per = channel>>
%9 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<q4_1>>
%10 = "test.op"() : () -> tensor<4x256xf32, #formats.encoding<q6_k>>
%11 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<mxfp4>>
// A name stands for its structure, however it is written.
%12 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float16>, per = 32>>
%13 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <float32>, zero = <uint8>, per = 32>>
%14 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<float32, sparsity = 1:2 block 4 row>>
%15 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<fp4_e2m1, scale = <fp8_e4m3, scale = <float32>, per = tensor>, per = 16>>

// CHECK:         %0 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
// CHECK-NEXT:    %1 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int4, scale = <float16>, per = 64>>
// CHECK-NEXT:    %2 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
// CHECK-NEXT:    %3 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <float16>, offset = <float16>, per = 16>>
// CHECK-NEXT:    %4 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <uint6, scale = <float16>, per = 4>, offset = <uint6, scale = <float16>, per = 4>, per = 16>>
// CHECK-NEXT:    %5 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<int8, scale = <float32>, per = channel, sparsity = 2:4>>
// CHECK-NEXT:    %6 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<bfloat16>>
// CHECK-NEXT:    %7 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<fp8_e4m3>>
// CHECK-NEXT:    %8 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<ternary, scale = <float32>, per = channel>>
// CHECK-NEXT:    %9 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<q4_1>>
// CHECK-NEXT:    %10 = "test.op"() : () -> tensor<4x256xf32, #formats.encoding<q6_k>>
// CHECK-NEXT:    %11 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<mxfp4>>
// CHECK-NEXT:    %12 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<q8_0>>
// CHECK-NEXT:    %13 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<uint4, scale = <float32>, zero = <uint8>, per = 32>>
// CHECK-NEXT:    %14 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<float32, sparsity = 1:2 block 4 row>>
// CHECK-NEXT:    %15 = "test.op"() : () -> tensor<4x64xf32, #formats.encoding<nvfp4>>

// GENERIC: "test.op"() : () -> tensor<4x64xf32, #formats.encoding<q4_1>>
