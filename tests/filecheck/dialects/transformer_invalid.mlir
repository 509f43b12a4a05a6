// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

transformer.parameter @w : tensor<?x4xf32> from "w"
// CHECK: {{^}}a parameter has a static, positive shape, got [?, 4]

// -----

transformer.parameter @w : tensor<4xf32> from "w.{}"
// CHECK: {{^}}a stacked parameter has a leading layer dimension, got shape

// -----

transformer.parameter @w : tensor<4xf32> from "w" by "magic"
// CHECK: {{^}}unknown derivation 'magic'; known: quantize, decode

// -----

transformer.parameter @w : tensor<3xf32> from "w.{}" {values = array<f32: 1.0, 2.0>}
// CHECK: {{^}}values are one number, or one for each layer, got 2 for the shape [3]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%q = transformer.quantize %x : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = tensor>>
// CHECK: {{^}}transformer.quantize: a scale is given where the result has one for all of it, per = tensor, and only there

// -----

%0 = transformer.get @absent : tensor<4xf32>
// CHECK: {{^}}no parameter is called @absent

// -----

transformer.parameter @w : tensor<2x4xf32> from "w.{}"
%0 = transformer.get @w : tensor<4xf32>
// CHECK: {{^}}@w is stacked: name the layer, @name[%layer]

// -----

transformer.parameter @w : tensor<4xf32> from "w"
%i = "test.op"() : () -> index
%0 = transformer.get @w[%i] : tensor<4xf32>
// CHECK: {{^}}@w is not stacked

// -----

transformer.parameter @w : tensor<4xf32> from "w"
%0 = transformer.get @w : tensor<5xf32>
// CHECK: {{^}}@w gives tensor<4xf32>, but the result is tensor<5xf32>

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.repeat @absent from 0 count 2 (%x) with () : (tensor<?x?x8xf32>) with ()
// CHECK: {{^}}no function is called @absent

// -----

func.func private @layer(tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.repeat @layer from 0 count 2 (%x) with () : (tensor<?x?x8xf32>) with ()
// CHECK: {{^}}@layer must take the layer's index, the carried and the shared values and return the carried ones: (index, tensor<?x?x8xf32>) -> (tensor<?x?x8xf32>); it is (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>

// -----

func.func private @layer(index, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.repeat @layer from 0 count 0 (%x) with () : (tensor<?x?x8xf32>) with ()
// CHECK: {{^}}a repeat runs at least one layer from index 0 up, got count 0 from 0

// -----

func.func private @layer(index, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = "transformer.repeat"(%x) <{layer = @layer, first = 0 : i64, count = 1 : i64, operandSegmentSizes = array<i32: 1, 0>}> : (tensor<?x?x8xf32>) -> tensor<?x?x2xf32>
// CHECK: {{^}}a repeat returns values of the types it carries

// -----

%t = "test.op"() : () -> tensor<4xi32>
%w = "test.op"() : () -> tensor<4x8xf32>
%y = transformer.embedding %t, %w : (tensor<4xi32>, tensor<4x8xf32>) -> tensor<4x8xf32>
// CHECK: {{^}}transformer.embedding: tokens are [batch, tokens] and the table is [vocabulary, features], got [4] and [4, 8]

// -----

%t = "test.op"() : () -> tensor<?x?xi32>
%w = "test.op"() : () -> tensor<4x8xf32>
%y = transformer.embedding %t, %w : (tensor<?x?xi32>, tensor<4x8xf32>) -> tensor<?x?x4xf32>
// CHECK: {{^}}transformer.embedding: the result must have shape [?, ?, 8], got [?, ?, 4]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8xf32>
%y = transformer.linear %x, %w : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the weight is [out, in], got [8]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8x4xf32>
%y = transformer.linear %x, %w : (tensor<?x?x8xf32>, tensor<8x4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the input must have 4 features, got 8

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<4x8xf32>
%y = transformer.linear %x, %w : (tensor<?x?x8xf32>, tensor<4x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the result must have 4 features, got 8

// -----

%x = "test.op"() : () -> tensor<?x8xf32>
%w = "test.op"() : () -> tensor<8x8xf32>
%y = transformer.linear %x, %w : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the input must be [batch, tokens, features], got tensor<?x8xf32>

// -----

%x = "test.op"() : () -> tensor<?x?x?xf32>
%w = "test.op"() : () -> tensor<8x8xf32>
%y = transformer.linear %x, %w : (tensor<?x?x?xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the features of the input must be static, got tensor<?x?x?xf32>

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8x8xf32>
%b = "test.op"() : () -> tensor<4xf32>
%y = transformer.linear %x, %w, %b : (tensor<?x?x8xf32>, tensor<8x8xf32>, tensor<4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: the bias must have shape [8], got [4]

// -----

%x = "test.op"() : () -> tensor<?x?x140000xf32, #formats.encoding<int8>>
%w = "test.op"() : () -> tensor<8x140000xf32, #formats.encoding<int8>>
%y = transformer.linear %x, %w : (tensor<?x?x140000xf32, #formats.encoding<int8>>, tensor<8x140000xf32, #formats.encoding<int8>>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.linear: a sum of 140000 products up to 16384 could overflow the int32 accumulator; at most 131071 fit

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<4xf32>
%y = transformer.rms_norm %x, %w {epsilon = 1.0e-05 : f64} : (tensor<?x?x8xf32>, tensor<4xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rms_norm: the weight must have shape [8], got [4]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%w = "test.op"() : () -> tensor<8xf32>
%y = transformer.rms_norm %x, %w {epsilon = 2.0 : f64} : (tensor<?x?x8xf32>, tensor<8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rms_norm: epsilon is a small positive number, got 2.0

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 3 : i64, theta = 1.0e+04 : f64, style = "half"} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: 8 features do not divide into 3 heads of an even size

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 8 : i64, theta = 1.0e+04 : f64, style = "half"} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: 8 features do not divide into 8 heads of an even size

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "spiral"} : (tensor<?x?x8xf32>, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: style is one of half, interleaved, got 'spiral'

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%p = "test.op"() : () -> tensor<?x?xi32>
%y = transformer.rotary %x, %p {heads = 2 : i64, theta = 1.0e+04 : f64, style = "half"} : (tensor<?x?x8xf32>, tensor<?x?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rotary: past holds one integer a sequence, tensor<?xi32>; got tensor<?x?xi32>

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.gate "sinh" %x, %x : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.gate: unknown activation 'sinh'; known: silu, gelu, gelu_tanh, gelu_sigmoid, relu, relu2

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%z = "test.op"() : () -> tensor<?x?x2xf32>
%y = transformer.gate "silu" %x, %z : (tensor<?x?x8xf32>, tensor<?x?x2xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.gate: up must have 8 features, got 2

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%z = "test.op"() : () -> tensor<?x?x2xf32>
%y = transformer.add %x, %z : (tensor<?x?x8xf32>, tensor<?x?x2xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.add: right must have 8 features, got 2

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.quantize %x : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.quantize: the result's encoding must have a scale, got tensor<?x?x8xf32>

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
%y = transformer.quantize %x : (tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = channel>>) -> tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
// CHECK: {{^}}transformer.quantize: the input must hold float32, got tensor<?x?x8xf32, #formats.encoding<int8, scale = <float32>, per = channel>>

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.quantize %x : (tensor<?x?x8xf32>) -> tensor<?x?x4xf32, #formats.encoding<int8, scale = <float32>, per = channel>>
// CHECK: {{^}}transformer.quantize: the result must have shape [?, ?, 8], got [?, ?, 4]

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%l = "test.op"() : () -> tensor<?xi32>
%k = "test.op"() : () -> index
%y = transformer.last_tokens %x, %l, %k : (tensor<?x?x8xf32>, tensor<?xi32>, index) -> tensor<?x?x2xf32>
// CHECK: {{^}}transformer.last_tokens: the result must have 8 features, got 2

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y = transformer.append_kv %cache[%layer], %q, %q, %past : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 4>
// CHECK: {{^}}transformer.append_kv: the result must have the cache's type !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, got !transformer.kv_cache<layers = 3, batch = ?, context = ?, heads = 2, size = 4>

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%z = "test.op"() : () -> tensor<?x?x2xf32>
%y = transformer.append_kv %cache[%layer], %z, %q, %past : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?x?x2xf32>, tensor<?x?x8xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
// CHECK: {{^}}transformer.append_kv: the keys must have 8 features, got 2

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%z = "test.op"() : () -> tensor<?x?x2xf32>
%y = transformer.append_kv %cache[%layer], %q, %z, %past : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?x?x8xf32>, tensor<?x?x2xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
// CHECK: {{^}}transformer.append_kv: the values must have 8 features, got 2

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y = transformer.append_kv %cache[%layer], %q, %q, %past : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?xi32>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%z = transformer.attention %q, %cache[%layer], %past {heads = 2 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.append_kv writes its KV cache in place, but transformer.attention uses the old value afterwards; a KV cache is used linearly: take the result instead

// -----

func.func private @layer(index, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y = transformer.repeat @layer from 0 count 2 (%cache) with () : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>) with ()
%z = transformer.repeat @layer from 0 count 2 (%cache) with () : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>) with ()
// CHECK: {{^}}transformer.repeat writes its KV cache in place, but transformer.repeat uses the old value afterwards

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y = transformer.attention %q, %cache[%layer], %past {heads = 3 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention: 3 query heads do not divide among 2 KV heads of the cache

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y = transformer.attention %q, %cache[%layer], %past {heads = 4 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention: the queries must have 16 features, got 8

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%y, %z = transformer.key_blocks %q, %past {keys = 0 : i64} : (tensor<?x?x8xf32>, tensor<?xi32>) -> (index, index)
// CHECK: {{^}}transformer.key_blocks: a block holds at least one key, got 0

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%n, %z = transformer.query_blocks %q {queries = 0 : i64} : (tensor<?x?x8xf32>) -> (index, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.query_blocks: a block holds at least one query, got 0

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%past = "test.op"() : () -> tensor<?xi32>
%i = "test.op"() : () -> index
%t, %b = transformer.take_block %q, %past block %i {queries = 4 : i64} : (tensor<?x?x8xf32>, tensor<?xi32>, index) -> (tensor<?x?x6xf32>, tensor<?xi32>)
// CHECK: {{^}}transformer.take_block: the block must have 8 features, got 6

// -----

%q, %z = "test.op"() : () -> (tensor<?x?x8xf32>, tensor<?x?x8xf32>)
%i = "test.op"() : () -> index
%r = transformer.put_block %q into %z block %i {queries = 4 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, index) -> tensor<?x?x8xf32>
"test.op"(%z) : (tensor<?x?x8xf32>) -> ()
// CHECK: {{^}}transformer.put_block writes its target in place; something else uses it too

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%m, %d, %a = transformer.attention_begin %q {heads = 4 : i64} : (tensor<?x?x8xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.attention_begin: the maximum must have 4 features, got 2

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%s = "test.op"() : () -> tensor<?x?x2xf32>
%m, %d, %a = transformer.attention_block %q, %cache[%layer], %past block %layer running(%s, %s, %q) {heads = 2 : i64, keys = 0 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>, index, tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.attention_block: a block holds at least one key, got 0

// -----

%q = "test.op"() : () -> tensor<?x?x8xf32>
%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%layer = "test.op"() : () -> index
%past = "test.op"() : () -> tensor<?xi32>
%s = "test.op"() : () -> tensor<?x?x2xf32>
%m, %d, %a = transformer.attention_block %q, %cache[%layer], %past block %layer running(%s, %s, %s) {heads = 2 : i64, keys = 4 : i64, scale = 1.0 : f64} : (tensor<?x?x8xf32>, !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, index, tensor<?xi32>, index, tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x2xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>, tensor<?x?x8xf32>)
// CHECK: {{^}}transformer.attention_block: the accumulator must have 8 features, got 2

// -----

%s = "test.op"() : () -> tensor<?x?x3xf32>
%a = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.attention_end %s, %a : (tensor<?x?x3xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.attention_end: 8 features do not divide into 3 heads

// -----

func.func private @f(!transformer.kv_cache<layers = 0, batch = ?, context = ?, heads = 2, size = 4>)
// CHECK: {{^}}a KV cache needs at least 1 of layers, got 0

// -----

func.func private @f(!transformer.kv_cache<layers = 1, batch = ?, context = 0, heads = 2, size = 4>)
// CHECK: {{^}}the context of a KV cache is positive or `?`, got 0

// -----

func.func private @f(!transformer.kv_cache<layers = 1, batch = ?, context = ?, heads = 2, size = 4, layout = "heap">)
// CHECK: {{^}}unknown KV cache layout 'heap'; known: contiguous

// -----

func.func private @f(!transformer.kv_cache<layers = 1, context = ?, batch = ?, heads = 2, size = 4>)
// CHECK: Expected 'batch'

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%a, %b = transformer.split %x : (tensor<?x?x8xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x3xf32>)
// CHECK: {{^}}transformer.split: parts of 7 features in all, of an input of 8

// -----

%x, %w = "test.op"() : () -> (tensor<?x?x8xf32>, tensor<4x8xf32>)
%y = transformer.linear %x, %w plus %x : (tensor<?x?x8xf32>, tensor<4x8xf32>) plus tensor<?x?x8xf32> -> tensor<?x?x4xf32>
// CHECK: {{^}}transformer.linear: the residual must have 4 features, got 8

// -----

%x = "test.op"() : () -> tensor<?x?x8xf32>
%y = transformer.rms_norm %x {epsilon = 1.0e-05 : f64, offset = 1.0 : f64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
// CHECK: {{^}}transformer.rms_norm: an offset is added to a weight, and there is none

// -----

transformer.parameter @q : tensor<3x8x8xf32> from "layers.{}.q" joined ["k"]
// CHECK: {{^}}of joined sources all name the layer, or none: "layers.{}.q", ["k"]

// -----

transformer.parameter @q : tensor<8x8xf32> from "q" joined ["k"] view <transposed>
// CHECK: {{^}}what is joined are whole tensors, neither views nor experts

// -----

%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
%pages = "test.op"() : () -> tensor<?x?xi32>
%m = transformer.map_pages %cache, %pages : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>, tensor<?x?xi32>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>
// CHECK: {{^}}transformer.map_pages: the cache has no pages, got !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4>

// -----

%cache = "test.op"() : () -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4, page = 8>
%pages = "test.op"() : () -> tensor<?xi32>
%m = transformer.map_pages %cache, %pages : (!transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4, page = 8>, tensor<?xi32>) -> !transformer.kv_cache<layers = 2, batch = ?, context = ?, heads = 2, size = 4, page = 8>
// CHECK: {{^}}transformer.map_pages: the pages must be [batch, blocks], got tensor<?xi32>
