// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt %s --print-op-generic | xdsl-opt | filecheck %s

func.func private @mixture(%x: tensor<?x?x8xf32>, %lengths: tensor<?xi32>, %scores: tensor<?x?x4xf32>, %bias: tensor<4xf32>, %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %up_bias: tensor<4x16xf32>) {
  %e, %g = transformer.route_top_k "softmax" %scores {top_k = 2 : i64, normalize} : (tensor<?x?x4xf32>) -> (tensor<?x?x2xi32>, tensor<?x?x2xf32>)
  %f, %h = transformer.route_top_k "equal" %scores, %bias {top_k = 2 : i64, groups = 2 : i64, top_groups = 1 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> (tensor<?x?x2xi32>, tensor<?x?x2xf32>)
  %d, %s, %n = transformer.dispatch %x, %e, %lengths {capacity_factor = 1.250000e+00 : f64} : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
  %all, %t, %none = transformer.dispatch %x, %f, %lengths : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
  %scaled, %u, %m = transformer.dispatch %x, %e, %lengths times %g : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>, tensor<?x?x2xf32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
  %there = transformer.all_to_all %d {ranks = 2 : i64} : (tensor<4x?x8xf32>) -> tensor<4x?x8xf32>
  %a = transformer.expert_linear %there, %up : (tensor<4x?x8xf32>, tensor<4x16x8xf32>) -> tensor<4x?x16xf32>
  %b = transformer.expert_linear %there, %up, %up_bias : (tensor<4x?x8xf32>, tensor<4x16x8xf32>, tensor<4x16xf32>) -> tensor<4x?x16xf32>
  %c = transformer.expert_gate "gelu_sigmoid" %a, %b {limit = 7.000000e+00 : f64, up_offset = 1.000000e+00 : f64} : (tensor<4x?x16xf32>, tensor<4x?x16xf32>) -> tensor<4x?x16xf32>
  %o = transformer.expert_linear %c, %down : (tensor<4x?x16xf32>, tensor<4x8x16xf32>) -> tensor<4x?x8xf32>
  %y = transformer.combine %o, %s times %g : (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<?x?x2xf32>) -> tensor<?x?x8xf32>
  %z = transformer.combine %o, %s : (tensor<4x?x8xf32>, tensor<?x?x2xi32>) -> tensor<?x?x8xf32>
  func.return
}

// CHECK:         func.func private @mixture(%x: tensor<?x?x8xf32>, %lengths: tensor<?xi32>, %scores: tensor<?x?x4xf32>, %bias: tensor<4xf32>, %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %up_bias: tensor<4x16xf32>) {
// CHECK-NEXT:      %e, %g = transformer.route_top_k "softmax" %scores {top_k = 2 : i64, normalize} : (tensor<?x?x4xf32>) -> (tensor<?x?x2xi32>, tensor<?x?x2xf32>)
// CHECK-NEXT:      %f, %h = transformer.route_top_k "equal" %scores, %bias {top_k = 2 : i64, groups = 2 : i64, top_groups = 1 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> (tensor<?x?x2xi32>, tensor<?x?x2xf32>)
// CHECK-NEXT:      %d, %s, %n = transformer.dispatch %x, %e, %lengths {capacity_factor = 1.250000e+00 : f64} : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK-NEXT:      %all, %t, %none = transformer.dispatch %x, %f, %lengths : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK-NEXT:      %scaled, %u, %m = transformer.dispatch %x, %e, %lengths times %g : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>, tensor<?x?x2xf32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK-NEXT:      %there = transformer.all_to_all %d {ranks = 2 : i64} : (tensor<4x?x8xf32>) -> tensor<4x?x8xf32>
// CHECK-NEXT:      %a = transformer.expert_linear %there, %up : (tensor<4x?x8xf32>, tensor<4x16x8xf32>) -> tensor<4x?x16xf32>
// CHECK-NEXT:      %b = transformer.expert_linear %there, %up, %up_bias : (tensor<4x?x8xf32>, tensor<4x16x8xf32>, tensor<4x16xf32>) -> tensor<4x?x16xf32>
// CHECK-NEXT:      %c = transformer.expert_gate "gelu_sigmoid" %a, %b {limit = 7.000000e+00 : f64, up_offset = 1.000000e+00 : f64} : (tensor<4x?x16xf32>, tensor<4x?x16xf32>) -> tensor<4x?x16xf32>
// CHECK-NEXT:      %o = transformer.expert_linear %c, %down : (tensor<4x?x16xf32>, tensor<4x8x16xf32>) -> tensor<4x?x8xf32>
// CHECK-NEXT:      %y = transformer.combine %o, %s times %g : (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<?x?x2xf32>) -> tensor<?x?x8xf32>
// CHECK-NEXT:      %z = transformer.combine %o, %s : (tensor<4x?x8xf32>, tensor<?x?x2xi32>) -> tensor<?x?x8xf32>
// CHECK-NEXT:      func.return
// CHECK-NEXT:    }
