// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

%s = "test.op"() : () -> tensor<?x?x4xf32>
%e, %g = transformer.route_top_k "softmax" %s {top_k = 5 : i64} : (tensor<?x?x4xf32>) -> (tensor<?x?x5xi32>, tensor<?x?x5xf32>)
// CHECK: {{^}}transformer.route_top_k: top_k is 1 to 4, got 5

// -----

%s = "test.op"() : () -> tensor<?x?x4xf32>
%e, %g = transformer.route_top_k "softmax" %s {top_k = 2 : i64} : (tensor<?x?x4xf32>) -> (tensor<?x?x2xi32>, tensor<?x?x3xf32>)
// CHECK: {{^}}transformer.route_top_k: gates must have 2 features, got 3

// -----

%x, %e, %lengths = "test.op"() : () -> (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>)
%d, %s, %n = transformer.dispatch %x, %e, %lengths {capacity_factor = 0.0 : f64} : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK: {{^}}transformer.dispatch: the capacity factor is positive, got 0.0

// -----

%x, %e, %lengths = "test.op"() : () -> (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>)
%d, %s, %n = transformer.dispatch %x, %e, %lengths : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<1x?x8xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK: {{^}}transformer.dispatch: a token chooses 1 to 1 experts, got 2

// -----

%x, %e, %lengths = "test.op"() : () -> (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>)
%d, %s, %n = transformer.dispatch %x, %e, %lengths : (tensor<?x?x8xf32>, tensor<?x?x2xi32>, tensor<?xi32>) -> (tensor<4x?x9xf32>, tensor<?x?x2xi32>, tensor<i32>)
// CHECK: {{^}}transformer.dispatch: what is dispatched must have shape [4, ?, 8], got [4, ?, 9]

// -----

%x, %w = "test.op"() : () -> (tensor<4x?x8xf32>, tensor<3x16x8xf32>)
%y = transformer.expert_linear %x, %w : (tensor<4x?x8xf32>, tensor<3x16x8xf32>) -> tensor<4x?x16xf32>
// CHECK: {{^}}transformer.expert_linear: the input must have shape [3, ?, 8], got [4, ?, 8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gate "silu" %x, %x : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gate: the gate must be [experts, capacity, features], got tensor<?x?x8xf32>

// -----

%x = "test.op"() : () -> tensor<4x?x8xf32>
%y = transformer.expert_gate "silu" %x, %x {limit = -1.0 : f64} : (tensor<4x?x8xf32>, tensor<4x?x8xf32>) -> tensor<4x?x8xf32>
// CHECK: {{^}}transformer.expert_gate: the limit is positive, got -1.0

// -----

%x, %g, %s = "test.op"() : () -> (tensor<4x?x8xf32>, tensor<?x?x2xf32>, tensor<?x?x3xi32>)
%y = transformer.combine %x, %s times %g : (tensor<4x?x8xf32>, tensor<?x?x3xi32>, tensor<?x?x2xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.combine: the gates must have 3 features, got 2

// -----

%x = "test.op"() : () -> tensor<4x?x8xf32>
%y = transformer.all_to_all %x {ranks = 3 : i64} : (tensor<4x?x8xf32>) -> tensor<4x?x8xf32>
// CHECK: {{^}}transformer.all_to_all: 4 experts do not divide over 3 ranks
