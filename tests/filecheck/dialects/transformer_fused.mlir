// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s

transformer.parameter @layers.query_key : tensor<3x192x128xf32> from "layers.{}.query" joined ["layers.{}.key"]
%x = "test.op"() : () -> tensor<?x?x128xf32>
%weight, %bias = "test.op"() : () -> (tensor<128x128xf32>, tensor<128xf32>)
%bare = transformer.rms_norm %x {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
%sum = transformer.linear %x, %weight plus %bare : (tensor<?x?x128xf32>, tensor<128x128xf32>) plus tensor<?x?x128xf32> -> tensor<?x?x128xf32>
%all = transformer.linear %x, %weight, %bias plus %bare : (tensor<?x?x128xf32>, tensor<128x128xf32>, tensor<128xf32>) plus tensor<?x?x128xf32> -> tensor<?x?x128xf32>
%a, %b = transformer.split %all : (tensor<?x?x128xf32>) -> (tensor<?x?x96xf32>, tensor<?x?x32xf32>)

// CHECK:       transformer.parameter @layers.query_key : tensor<3x192x128xf32> from "layers.{}.query" joined ["layers.{}.key"]
// CHECK:       %{{.*}} = transformer.rms_norm %{{.*}} {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:  %{{.*}} = transformer.linear %{{.*}}, %{{.*}} plus %{{.*}} : (tensor<?x?x128xf32>, tensor<128x128xf32>) plus tensor<?x?x128xf32> -> tensor<?x?x128xf32>
// CHECK-NEXT:  %{{.*}} = transformer.linear %{{.*}}, %{{.*}}, %{{.*}} plus %{{.*}} : (tensor<?x?x128xf32>, tensor<128x128xf32>, tensor<128xf32>) plus tensor<?x?x128xf32> -> tensor<?x?x128xf32>
// CHECK-NEXT:  %{{.*}}, %{{.*}} = transformer.split %{{.*}} : (tensor<?x?x128xf32>) -> (tensor<?x?x96xf32>, tensor<?x?x32xf32>)
