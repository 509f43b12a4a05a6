// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

transformer.parameter @w : tensor<2x4xf32> from "w.{}.{expert}"
// CHECK: {{^}}a parameter of experts has a dimension that counts them, got shape

// -----

transformer.parameter @w : tensor<4xf32> from "w" view <axis = 0, groups = 0, first = 0, count = 4>
// CHECK: a view takes at least 1 place of at least 1 group, got 4 of 0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<4xf32>
%y = transformer.rms_norm %x, %w {epsilon = 1.0e-05 : f64, heads = 3 : i64} : (tensor<?x?x8xf32>, tensor<4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rms_norm: 8 features do not divide into 3 heads

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8xf32>
%y = transformer.rms_norm %x, %w {epsilon = 1.0e-05 : f64, heads = 2 : i64} : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rms_norm: the weight must have shape [4], got [8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8xf32>
%b = "test.op"() : () -> tensor<4xf32>
%y = transformer.layer_norm %x, %w, %b {epsilon = 1.0e-05 : f64} : (tensor<?x?x8xf32>, tensor<8xf32>, tensor<4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.layer_norm: the bias must have shape [8], got [4]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8xf32>
%y = transformer.layer_norm %x, %w {epsilon = -1.0 : f64} : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.layer_norm: epsilon is a small positive number, got -1.0

// -----

%i = "test.op"() : () -> tensor<?x?xi32>
%p = "test.op"() : () -> tensor<?xi32>
%t = "test.op"() : () -> tensor<9x8xf32>
%y = transformer.position_embedding %i, %p, %t : (tensor<?x?xi32>, tensor<?xi32>, tensor<9x8xf32>) -> tensor<?x?x4xf32>
// CHECK: {{^}}transformer.position_embedding: the result must have shape [?, ?, 8], got [?, ?, 4]

// -----

%i = "test.op"() : () -> tensor<?xi32>
%p = "test.op"() : () -> tensor<?xi32>
%t = "test.op"() : () -> tensor<9x8xf32>
%y = transformer.position_embedding %i, %p, %t : (tensor<?xi32>, tensor<?xi32>, tensor<9x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.position_embedding: tokens are [batch, tokens] and the table is [positions, features], got [?] and [9, 8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half", size = 3 : i64} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: size is even and 2 to 4, that of a head; got 3

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half", size = 6 : i64} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: size is even and 2 to 4, that of a head; got 6

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half", scaling = #transformer.rotary_scaling<linear, factor = 0.5>} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: scaling: expected a factor of at least 1, got 0.5

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half", scaling = #transformer.rotary_scaling<llama3, factor = 2.0, low = 4.0, high = 1.0, original = 8.0>} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: scaling: expected 0 < low <= high and an original context, got 4.0, 1.0, 8.0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half", scaling = #transformer.rotary_scaling<stretch, factor = 2.0>} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: unknown rotary scaling 'stretch'; known: linear, llama3, yarn

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.attention %x, %cache[%layer], %p {heads = 2 : i64, scale = 1.0 : f64, window = 0 : i64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention: a window holds at least one key, got 0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.attention %x, %cache[%layer], %p {heads = 2 : i64, scale = 1.0 : f64, softcap = 0.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention: the softcap is positive, got 0.0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%p = "test.op"() : () -> tensor<?xi32>
%s = "test.op"() : () -> tensor<3xf32>
%y = transformer.attention %x, %cache[%layer], %p sinks %s {heads = 2 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>, tensor<3xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention: the sinks must have shape [2], got [3]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%s = "test.op"() : () -> tensor<3xf32>
%m, %d, %a = transformer.attention_begin %x sinks %s {heads = 2 : i64} : (tensor<?x?x8xf32>, tensor<3xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.attention_begin: the sinks must have shape [2], got [3]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%p = "test.op"() : () -> tensor<?xi32>
%s = "test.op"() : () -> tensor<?x?x2xf32>
%m, %d, %a = transformer.attention_block %x, %cache[%layer], %p block %layer running(%s, %s, %x) {heads = 2 : i64, keys = 4 : i64, scale = 1.0 : f64, window = -1 : i64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>, index, tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.attention_block: a window holds at least one key, got -1

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.activate "sinh" %x : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.activate: unknown activation 'sinh'; known: silu, gelu, gelu_tanh, gelu_sigmoid, relu, relu2

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.scale %x {factor = 2.0 : f64} : (tensor<?x?x8xf32>) -> tensor<?x?x4xf32>
// CHECK: {{^}}transformer.scale: the result must have 8 features, got 4

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.softcap %x {cap = -1.0 : f64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.softcap: the cap is positive, got -1.0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gates "argmax" %x {top_k = 2 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: scoring is one of softmax, sigmoid, equal, got 'argmax'

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gates "softmax" %x {top_k = 9 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: top_k is 1 to 8, got 9

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gates "softmax" %x {top_k = 1 : i64, groups = 2 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: groups and top_groups are stated together

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gates "softmax" %x {top_k = 1 : i64, groups = 8 : i64, top_groups = 1 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: expected equal groups of at least 2 of the 8 experts and 1 to all of them chosen, got 1 of 8 groups

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.expert_gates "softmax" %x {top_k = 3 : i64, groups = 4 : i64, top_groups = 1 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: top_k is 1 to 2, got 3

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%b = "test.op"() : () -> tensor<4xf32>
%y = transformer.expert_gates "softmax" %x, %b {top_k = 1 : i64} : (tensor<?x?x8xf32>, tensor<4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.expert_gates: the bias must have shape [8], got [4]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<16x8xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<16x8xf32>, tensor<16x8xf32>, tensor<3x8x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: the weights are [experts, out, in], got [16, 8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<3x16x8xf32>
%d = "test.op"() : () -> tensor<3x16x8xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: down must have shape [3, 8, 16], got [3, 16, 8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x4xf32>
%u = "test.op"() : () -> tensor<3x16x8xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d : (tensor<?x?x8xf32>, tensor<?x?x4xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>, tensor<3x8x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: the gates must have 3 features, got 4

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<3x16x4xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<3x16x4xf32>, tensor<3x16x4xf32>, tensor<3x8x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: the input must have 4 features, got 8

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<3x16x8xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%b = "test.op"() : () -> tensor<3x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d bias %b : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>, tensor<3x8x16xf32>, tensor<3x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: biases are those of gate, up and down, got 1

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<3x16x8xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%b = "test.op"() : () -> tensor<3x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d bias %b, %b, %b : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>, tensor<3x8x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: the bias of down must have shape [3, 8], got [3, 16]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%g = "test.op"() : () -> tensor<?x?x3xf32>
%u = "test.op"() : () -> tensor<3x16x8xf32>
%d = "test.op"() : () -> tensor<3x8x16xf32>
%y = transformer.moe "silu" %x, %g, %u, %u, %d {limit = 0.0 : f64} : (tensor<?x?x8xf32>, tensor<?x?x3xf32>, tensor<3x16x8xf32>, tensor<3x16x8xf32>, tensor<3x8x16xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.moe: the limit is positive, got 0.0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 0.5 : f64, style = "half"} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: theta is at least 1, and more where it is scaled; got 0.5
