// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

transformer.parameter @norm : tensor<128xf32> from "norm"
transformer.parameter @layers.query : tensor<3x128x128xf32> from "layers.{}.query"
transformer.parameter @layers.key : tensor<3x64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>> from "layers.{}.key" by "quantize"
transformer.parameter @layers.mixed : tensor<3x64x128xf32> from "layers.{}.mixed" by "decode"
func.func private @layer(%layer: index, %x: tensor<?x?x128xf32>, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %past: tensor<?xi32>) -> (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) {
  %norm = transformer.get @norm : tensor<128xf32>
  %normed = transformer.rms_norm %x, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
  %query = transformer.get @layers.query[%layer] : tensor<128x128xf32>
  %q = transformer.linear %normed, %query : (tensor<?x?x128xf32>, tensor<128x128xf32>) -> tensor<?x?x128xf32>
  %biased = transformer.linear %normed, %query, %norm : (tensor<?x?x128xf32>, tensor<128x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
  %integers = transformer.quantize %normed : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
  %key = transformer.get @layers.key[%layer] : tensor<64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
  %k = transformer.linear %integers, %key : (tensor<?x?x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>, tensor<64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>) -> tensor<?x?x64xf32>
  %turned = transformer.rotary %q, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half"} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
  %kept = transformer.append_kv %cache[%layer], %k, %k, %past : (!transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
  %attended = transformer.attention %turned, %kept[%layer], %past {heads = 4 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>) -> tensor<?x?x128xf32>
  %maximum, %denominator, %accumulator = transformer.attention_begin %turned {heads = 4 : i64} : (tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
  %first, %blocks = transformer.key_blocks %turned, %past {keys = 64 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> (index, index)
  %count, %zeros = transformer.query_blocks %turned {queries = 16 : i64} : (tensor<?x?x128xf32>) -> (index, tensor<?x?x128xf32>)
  %some, %before = transformer.take_block %turned, %past block %count {queries = 16 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>, index) -> (tensor<?x?x128xf32>, tensor<?xi32>)
  %put = transformer.put_block %some into %zeros block %count {queries = 16 : i64} : (tensor<?x?x128xf32>, tensor<?x?x128xf32>, index) -> tensor<?x?x128xf32>
  %near, %end = transformer.key_blocks %some, %before {keys = 64 : i64, window = 8 : i64, chunk = 32 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> (index, index)
  %m, %d, %a = transformer.attention_block %turned, %kept[%layer], %past block %blocks running(%maximum, %denominator, %accumulator) {heads = 4 : i64, keys = 64 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, index, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
  %ended = transformer.attention_end %d, %a : (tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  %gated = transformer.gate "silu" %attended, %ended : (tensor<?x?x128xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  %sum = transformer.add %x, %gated : (tensor<?x?x128xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
  func.return %sum, %kept : tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
}
func.func @step(%tokens: tensor<?x?xi32>, %past: tensor<?xi32>, %lengths: tensor<?xi32>, %keep: index, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %table: tensor<48x128xf32>) -> (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) attributes {transformer.step} {
  %x = transformer.embedding %tokens, %table : (tensor<?x?xi32>, tensor<48x128xf32>) -> tensor<?x?x128xf32>
  %y, %kept = transformer.repeat @layer from 0 count 3 (%x, %cache) with (%past) : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) with (tensor<?xi32>)
  %last = transformer.last_tokens %y, %lengths, %keep : (tensor<?x?x128xf32>, tensor<?xi32>, index) -> tensor<?x?x128xf32>
  func.return %last, %kept : tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
}
func.func private @pool(%cache: !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>, %pages: tensor<?x?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9> {
  %mapped = transformer.map_pages %cache, %pages : (!transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>, tensor<?x?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>
  func.return %mapped : !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>
}
func.func private @caches(!transformer.kv_cache<layers = 3, batch = 2, context = 512, heads = 2, size = 32, encoding = <q8_0>>)

// CHECK:         transformer.parameter @norm : tensor<128xf32> from "norm"
// CHECK-NEXT:    transformer.parameter @layers.query : tensor<3x128x128xf32> from "layers.{}.query"
// CHECK-NEXT:    transformer.parameter @layers.key : tensor<3x64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>> from "layers.{}.key" by "quantize"
// CHECK-NEXT:    transformer.parameter @layers.mixed : tensor<3x64x128xf32> from "layers.{}.mixed" by "decode"
// CHECK-NEXT:    func.func private @layer(%layer: index, %x: tensor<?x?x128xf32>, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %past: tensor<?xi32>) -> (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) {
// CHECK-NEXT:      %norm = transformer.get @norm : tensor<128xf32>
// CHECK-NEXT:      %normed = transformer.rms_norm %x, %norm {epsilon = 1.000000e-05 : f64} : (tensor<?x?x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %query = transformer.get @layers.query[%layer] : tensor<128x128xf32>
// CHECK-NEXT:      %q = transformer.linear %normed, %query : (tensor<?x?x128xf32>, tensor<128x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %biased = transformer.linear %normed, %query, %norm : (tensor<?x?x128xf32>, tensor<128x128xf32>, tensor<128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %integers = transformer.quantize %normed : (tensor<?x?x128xf32>) -> tensor<?x?x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
// CHECK-NEXT:      %key = transformer.get @layers.key[%layer] : tensor<64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
// CHECK-NEXT:      %k = transformer.linear %integers, %key : (tensor<?x?x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>, tensor<64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>) -> tensor<?x?x64xf32>
// CHECK-NEXT:      %turned = transformer.rotary %q, %past {heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half"} : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %kept = transformer.append_kv %cache[%layer], %k, %k, %past : (!transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
// CHECK-NEXT:      %attended = transformer.attention %turned, %kept[%layer], %past {heads = 4 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %maximum, %denominator, %accumulator = transformer.attention_begin %turned {heads = 4 : i64} : (tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
// CHECK-NEXT:      %first, %blocks = transformer.key_blocks %turned, %past {keys = 64 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> (index, index)
// CHECK-NEXT:      %count, %zeros = transformer.query_blocks %turned {queries = 16 : i64} : (tensor<?x?x128xf32>) -> (index, tensor<?x?x128xf32>)
// CHECK-NEXT:      %some, %before = transformer.take_block %turned, %past block %count {queries = 16 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>, index) -> (tensor<?x?x128xf32>, tensor<?xi32>)
// CHECK-NEXT:      %put = transformer.put_block %some into %zeros block %count {queries = 16 : i64} : (tensor<?x?x128xf32>, tensor<?x?x128xf32>, index) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %near, %end = transformer.key_blocks %some, %before {keys = 64 : i64, window = 8 : i64, chunk = 32 : i64} : (tensor<?x?x128xf32>, tensor<?xi32>) -> (index, index)
// CHECK-NEXT:      %m, %d, %a = transformer.attention_block %turned, %kept[%layer], %past block %blocks running(%maximum, %denominator, %accumulator) {heads = 4 : i64, keys = 64 : i64, scale = 1.250000e-01 : f64} : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, index, tensor<?xi32>, index, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x128xf32>)
// CHECK-NEXT:      %ended = transformer.attention_end %d, %a : (tensor<?x?x4xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %gated = transformer.gate "silu" %attended, %ended : (tensor<?x?x128xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %sum = transformer.add %x, %gated : (tensor<?x?x128xf32>, tensor<?x?x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      func.return %sum, %kept : tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
// CHECK-NEXT:    }
// CHECK-NEXT:    func.func @step(%tokens: tensor<?x?xi32>, %past: tensor<?xi32>, %lengths: tensor<?xi32>, %keep: index, %cache: !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, %table: tensor<48x128xf32>) -> (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) attributes {transformer.step} {
// CHECK-NEXT:      %x = transformer.embedding %tokens, %table : (tensor<?x?xi32>, tensor<48x128xf32>) -> tensor<?x?x128xf32>
// CHECK-NEXT:      %y, %kept = transformer.repeat @layer from 0 count 3 (%x, %cache) with (%past) : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>) with (tensor<?xi32>)
// CHECK-NEXT:      %last = transformer.last_tokens %y, %lengths, %keep : (tensor<?x?x128xf32>, tensor<?xi32>, index) -> tensor<?x?x128xf32>
// CHECK-NEXT:      func.return %last, %kept : tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>
// CHECK-NEXT:    }
// CHECK-NEXT:    func.func private @pool(%cache: !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>, %pages: tensor<?x?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9> {
// CHECK-NEXT:      %mapped = transformer.map_pages %cache, %pages : (!transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>, tensor<?x?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>
// CHECK-NEXT:      func.return %mapped : !transformer.kv_cache<layers = 3, batch = ?, context = 64, heads = 2, size = 32, page = 16, pages = 9>
// CHECK-NEXT:    }
// CHECK-NEXT:    func.func private @caches(!transformer.kv_cache<layers = 3, batch = 2, context = 512, heads = 2, size = 32, encoding = <q8_0>>)

// GENERIC: "transformer.parameter"() <{sym_name = "layers.key", type = tensor<3x64x128xf32, #formats.encoding<int8, scale = <float32>, per = channel>>, source = "layers.{{.*}}.key", derivation = "quantize"}> : () -> ()
// GENERIC: %turned = "transformer.rotary"(%q, %past) <{heads = 4 : i64, theta = 1.000000e+04 : f64, style = "half"}> : (tensor<?x?x128xf32>, tensor<?xi32>) -> tensor<?x?x128xf32>
// GENERIC: "transformer.repeat"(%x, %cache, %past) <{layer = @layer, first = 0 : i64, count = 3 : i64, operandSegmentSizes = array<i32: 2, 1>}> : (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>, tensor<?xi32>) -> (tensor<?x?x128xf32>, !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 32>)
