// What the families need beside Llama.
// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s

transformer.parameter @joint : tensor<3x64x128xf32> from "layers.{}.joint" view <axis = 0, groups = 2, first = 32, count = 32>
transformer.parameter @turned : tensor<3x64x128xf32> from "layers.{}.turned" view <transposed> by "quantize"
transformer.parameter @heads : tensor<3x32x16xf32> from "layers.{}.heads" view <flat = [4, 8, 16]>
transformer.parameter @all : tensor<3x16x16xf32> from "layers.{}.all" view <flat = [4, 8, 16], transposed, axis = 1, groups = 4, first = 1, count = 4>
transformer.parameter @both : tensor<3x4x64x128xf32> from "layers.{}.both" view <transposed, axis = 1, groups = 64, first = 1, count = 1>
transformer.parameter @experts : tensor<3x4x256x128xf32> from "layers.{}.experts.{expert}.up"
func.func private @family(%layer: index, %x: tensor<?x?x128xf32>, %tokens: tensor<?x?xi32>, %past: tensor<?xi32>, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %head: tensor<32xf32>, %norm: tensor<128xf32>, %sinks: tensor<4xf32>, %positions: tensor<48x128xf32>, %router: tensor<4x128xf32>, %bias: tensor<4xf32>, %up: tensor<4x256x128xf32>, %down: tensor<4x128x256xf32>, %up_bias: tensor<4x256xf32>, %down_bias: tensor<4x128xf32>, %score: tensor<?x?x1xf32>) {
  %heads = transformer.rms_norm %x, %head {epsilon = 1.000000e-05 : f64, heads = 4 : i64, offset = 1.000000e+00 : f64} : (tensor<?x?x128xf32>, tensor<32xf32>) -> tensor<?x?x128xf32>
  %plain = transformer.layer_norm %x, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
  %centered = transformer.layer_norm %x, %norm, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
  %placed = transformer.position_embedding %tokens, %past, %positions : (tensor<?x?xi32>, tensor<?xi32>, tensor<48x128xf32>) -> tensor<?x?x128xf32>
  %some = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half", size = 8 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %linear = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half", scaling = #transformer.rotary_scaling<linear, factor = 8.0>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %llama = transformer.rotary %x, %past {heads = 4 : i64, theta = 5.000000e+05 : f64, style = "half", scaling = #transformer.rotary_scaling<llama3, factor = 8.0, low = 1.0, high = 4.0, original = 8192.0>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %yarn = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.500000e+05 : f64, style = "half", scaling = #transformer.rotary_scaling<yarn, factor = 32.0, original = 4096.0, fast = 32.0, slow = 1.0, truncate = 0.0, scale = 1.3465735902799727>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %longrope = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.500000e+05 : f64, style = "half", size = 8 : i64, scaling = #transformer.rotary_scaling<longrope, short = [1.0, 1.5, 2.0, 2.5], long = [1.0, 4.0, 8.0, 16.5], original = 4096.0, scale = 1.19>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %windowed = transformer.attention %x, %cache[%layer], %past {heads = 4 : i64, scale = 1.250000e-01 : f64, window = 16 : i64, softcap = 5.000000e+01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>) -> tensor<?x?x128xf32>
  %sunk = transformer.attention %x, %cache[%layer], %past sinks %sinks {heads = 4 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, tensor<4xf32>) -> tensor<?x?x128xf32>
  %m, %d, %a = transformer.attention_begin %x sinks %sinks {heads = 4 : i64} : (tensor<?x?x128xf32>, tensor<4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
  %m1, %d1, %a1 = transformer.attention_block %x, %cache[%layer], %past block %layer running(%m, %d, %a) {heads = 4 : i64, keys = 64 : i64, scale = 1.250000e-01 : f64, window = 16 : i64, softcap = 5.000000e+01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, index, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
  %active = transformer.activate "gelu" %x : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  %scaled = transformer.scale %x {factor = 1.100000e+01 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  %capped = transformer.softcap %x {cap = 3.000000e+01 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  %scores = transformer.linear %x, %router : (tensor<?x?x128xf32>, tensor<4x128xf32>) -> tensor<?x?x4xf32>
  %chosen = transformer.expert_gates "softmax" %scores {top_k = 2 : i64, normalize} : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  %grouped = transformer.expert_gates "sigmoid" %scores, %bias {top_k = 2 : i64, normalize, scale = 2.500000e+00 : f64, groups = 2 : i64, top_groups = 1 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> tensor<?x?x4xf32>
  %mixed = transformer.moe "silu" %x, %chosen, %up, %up, %down : (tensor<?x?x128xf32>, tensor<?x?x4xf32>, tensor<4x256x128xf32>, tensor<4x256x128xf32>, tensor<4x128x256xf32>) -> tensor<?x?x128xf32>
  %biased = transformer.moe "gelu_sigmoid" %x, %chosen, %up, %up, %down bias %up_bias, %up_bias, %down_bias {limit = 7.000000e+00 : f64, up_offset = 1.000000e+00 : f64} : (tensor<?x?x128xf32>, tensor<?x?x4xf32>, tensor<4x256x128xf32>, tensor<4x256x128xf32>, tensor<4x128x256xf32>, tensor<4x256xf32>, tensor<4x256xf32>, tensor<4x128xf32>) -> tensor<?x?x128xf32>
  %shared = transformer.gate_tokens %x, %score : (tensor<?x?x128xf32>, tensor<?x?x1xf32>) -> tensor<?x?x128xf32>
  func.return
}

// CHECK:         transformer.parameter @joint : tensor<3x64x128xf32> from "layers.{}.joint" view <axis = 0, groups = 2, first = 32, count = 32>
// CHECK-NEXT:    transformer.parameter @turned : tensor<3x64x128xf32> from "layers.{}.turned" view <transposed> by "quantize"
// CHECK-NEXT:    transformer.parameter @heads : tensor<3x32x16xf32> from "layers.{}.heads" view <flat = [4, 8, 16]>
// CHECK-NEXT:    transformer.parameter @all : tensor<3x16x16xf32> from "layers.{}.all" view <flat = [4, 8, 16], transposed, axis = 1, groups = 4, first = 1, count = 4>
// CHECK-NEXT:    transformer.parameter @both : tensor<3x4x64x128xf32> from "layers.{}.both" view <transposed, axis = 1, groups = 64, first = 1, count = 1>
// CHECK-NEXT:    transformer.parameter @experts : tensor<3x4x256x128xf32> from "layers.{}.experts.{expert}.up"
// CHECK-NEXT:    func.func private @family(%layer: index, %x: tensor<?x?x128xf32>, %tokens: tensor<?x?xi32>, %past: tensor<?xi32>, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %head: tensor<32xf32>, %norm: tensor<128xf32>, %sinks: tensor<4xf32>, %positions: tensor<48x128xf32>, %router: tensor<4x128xf32>, %bias: tensor<4xf32>, %up: tensor<4x256x128xf32>, %down: tensor<4x128x256xf32>, %up_bias: tensor<4x256xf32>, %down_bias: tensor<4x128xf32>, %score: tensor<?x?x1xf32>) {
// CHECK-NEXT:      %heads = transformer.rms_norm %x, %head {epsilon = 1.000000e-05 : f64, heads = 4 : i64, offset = 1.000000e+00 : f64} : (tensor<?x?x128xf32>, tensor<32xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %plain = transformer.layer_norm %x, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %centered = transformer.layer_norm %x, %norm, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %placed = transformer.position_embedding %tokens, %past, %positions : (tensor<?x?xi32>, tensor<?xi32>, tensor<48x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %some = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half", size = 8 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %linear = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half", scaling = #transformer.rotary_scaling<linear, factor = 8.0>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %llama = transformer.rotary %x, %past {heads = 4 : i64, theta = 5.000000e+05 : f64, style = "half", scaling = #transformer.rotary_scaling<llama3, factor = 8.0, low = 1.0, high = 4.0, original = 8192.0>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %yarn = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.500000e+05 : f64, style = "half", scaling = #transformer.rotary_scaling<yarn, factor = 32.0, original = 4096.0, fast = 32.0, slow = 1.0, truncate = 0.0, scale = 1.3465735902799727>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %longrope = transformer.rotary %x, %past {heads = 4 : i64, theta = 1.500000e+05 : f64, style = "half", size = 8 : i64, scaling = #transformer.rotary_scaling<longrope, short = [1.0, 1.5, 2.0, 2.5], long = [1.0, 4.0, 8.0, 16.5], original = 4096.0, scale = 1.19>} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %windowed = transformer.attention %x, %cache[%layer], %past {heads = 4 : i64, scale = 1.250000e-01 : f64, window = 16 : i64, softcap = 5.000000e+01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %sunk = transformer.attention %x, %cache[%layer], %past sinks %sinks {heads = 4 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, tensor<4xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %m, %d, %a = transformer.attention_begin %x sinks %sinks {heads = 4 : i64} : (tensor<?x?x128xf32>, tensor<4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
// CHECK-NEXT:      %m1, %d1, %a1 = transformer.attention_block %x, %cache[%layer], %past block %layer running(%m, %d, %a) {heads = 4 : i64, keys = 64 : i64, scale = 1.250000e-01 : f64, window = 16 : i64, softcap = 5.000000e+01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, index, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
// CHECK-NEXT:      %active = transformer.activate "gelu" %x : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %scaled = transformer.scale %x {factor = 1.100000e+01 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %capped = transformer.softcap %x {cap = 3.000000e+01 : f64} : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %scores = transformer.linear %x, %router : (tensor<?x?x128xf32>, tensor<4x128xf32>) -> tensor<?x?x4xf32>
// CHECK-NEXT:      %chosen = transformer.expert_gates "softmax" %scores {top_k = 2 : i64, normalize} : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
// CHECK-NEXT:      %grouped = transformer.expert_gates "sigmoid" %scores, %bias {top_k = 2 : i64, normalize, scale = 2.500000e+00 : f64, groups = 2 : i64, top_groups = 1 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> tensor<?x?x4xf32>
// CHECK-NEXT:      %mixed = transformer.moe "silu" %x, %chosen, %up, %up, %down : (tensor<?x?x128xf32>, tensor<?x?x4xf32>, tensor<4x256x128xf32>, tensor<4x256x128xf32>, tensor<4x128x256xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %biased = transformer.moe "gelu_sigmoid" %x, %chosen, %up, %up, %down bias %up_bias, %up_bias, %down_bias {limit = 7.000000e+00 : f64, up_offset = 1.000000e+00 : f64} : (tensor<?x?x128xf32>, tensor<?x?x4xf32>, tensor<4x256x128xf32>, tensor<4x256x128xf32>, tensor<4x128x256xf32>, tensor<4x256xf32>, tensor<4x256xf32>, tensor<4x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %shared = transformer.gate_tokens %x, %score : (tensor<?x?x128xf32>, tensor<?x?x1xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      func.return
// CHECK-NEXT:    }
