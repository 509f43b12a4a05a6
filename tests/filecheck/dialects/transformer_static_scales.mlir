// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s

// CHECK: transformer.parameter @layers.query_input_scale : tensor<2xf32> from "@layers.query_input_scale.{}" {values = array<f32: 0.123456791, 1.17549435e-38>}
transformer.parameter @layers.query_input_scale : tensor<2xf32> from "@layers.query_input_scale.{}" {values = array<f32: 0.123456791, 1.17549435e-38>}

func.func private @layer(%layer : index, %x : tensor<?x?x8xf32>) -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = tensor>> {
  // CHECK: %scale = transformer.get @layers.query_input_scale[%layer] : tensor<f32>
  %scale = transformer.get @layers.query_input_scale[%layer] : tensor<f32>
  // CHECK-NEXT: %integers = transformer.quantize %x by %scale : (tensor<?x?x8xf32>, tensor<f32>) -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
  %integers = transformer.quantize %x by %scale : (tensor<?x?x8xf32>, tensor<f32>) -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
  func.return %integers : tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
}
