"""Operators of ONNX Runtime that exporters of decoders write, in the same form as those of the standard.

Their source is https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md; operands and options are
all there, so that an attribute or an operand which is not supported is refused for its value and not for its name.
"""

DOMAIN = "com.microsoft"
"""The domain of the operators in an ONNX file."""

MICROSOFT = """
attention(input: T, weights: T, bias?: T, mask_index?: M, past?: T, attention_bias?: T, past_sequence_length?: M) ->
    output: T, present?: T {do_rotary: int, mask_filter_value: float, num_heads: int!, past_present_share_buffer: int,
    qkv_hidden_sizes: ints, rotary_embedding_dim: int, scale: float, unidirectional: int=0}
bias_gelu(a: T, b: T) -> c: T
dynamic_quantize_matmul(a: T1, b: T2, b_scale: T1, b_zero_point?: T2, bias?: T1) -> y: T1
fast_gelu(x: T, bias?: T) -> y: T
fused_matmul(a: T, b: T) -> y: T {alpha: float=1, trans_a: int=0, trans_b: int=0, trans_batch_a: int=0, trans_batch_b:
    int=0}
gather_block_quantized(data: T1, indices: Tind, scales: T2, zero_points?: T1) -> output: T2 {bits: int=4, block_size:
    int=128, gather_axis: int=0, quantize_axis: int=1}
group_query_attention(query: T, key?: T, value?: T, past_key?: T, past_value?: T, seqlens_k: M, total_sequence_length:
    M, cos_cache?: T, sin_cache?: T, position_ids?: i64, attention_bias?: T, head_sink?: T, k_scale?: S, v_scale?: S,
    q_norm_weight?: T, k_norm_weight?: T, query_seqlens?: M) -> output: T, present_key?: T, present_value?: T,
    output_qk?: T {causal: int=1, do_rotary: int, k_norm_epsilon: float, k_quant_type: string=NONE,
    kv_cache_bit_width: int, kv_num_heads: int!, local_window_size: int=-1, num_heads: int!, q_norm_epsilon: float,
    qk_norm_epsilon: float=1e-06, qk_output: int=0, rotary_interleaved: int, scale: float, sliding_window_cache:
    int=0, smooth_softmax: int=-1, softcap: float, v_quant_type: string=NONE}
matmul_integer_to_float(a: T1, b: T2, a_scale: T3, b_scale: T3, a_zero_point?: T1, b_zero_point?: T2, bias?: T3) -> y:
    T3
matmul_nbits(a: T1, b: T2, scales: T1, zero_points?: T3, g_idx?: T4, bias?: T1) -> y: T1 {accuracy_level: int=0, bits:
    int=4, block_size: int!, k: int!, n: int!, weight_prepacked: int=0}
multi_head_attention(query: T, key?: T, value?: T, bias?: T, key_padding_mask?: M, attention_bias?: T, past_key?: T,
    past_value?: T, past_sequence_length?: M, cache_indirection?: M) -> output: T, present_key?: T, present_value?: T,
    qk?: T {mask_filter_value: float, num_heads: int!, scale: float, unidirectional: int=0}
q_attention(input: T1, weight: T2, bias: T3, input_scale: T3, weight_scale: T3, mask_index?: T4, input_zero_point?: T1,
    weight_zero_point?: T2, past?: T3) -> output: T3, present?: T3 {do_rotary: int, mask_filter_value: float,
    num_heads: int!, past_present_share_buffer: int, scale: float, unidirectional: int=0}
quick_gelu(x: T) -> y: T {alpha: float=1.702}
rotary_embedding(input: T, position_ids: M, cos_cache: T, sin_cache: T) -> output: T {interleaved: int,
    is_packed_batching: int, num_heads: int, rotary_embedding_dim: int, scale: float}
simplified_layer_normalization(x: T, scale: V) -> y: V, inv_std_var?: f32 {axis: int=-1, epsilon: float=1e-05,
    stash_type: int=1}
skip_layer_normalization(input: T, skip: T, gamma: T, beta?: T, bias?: T) -> output: T, mean?: f32, inv_std_var?: f32,
    input_skip_bias_sum?: T {epsilon: float=1e-12}
skip_simplified_layer_normalization(input: T, skip: T, gamma: T, bias?: T) -> output: T, mean?: f32, inv_std_var?: f32,
    input_skip_bias_sum?: T {epsilon: float=1e-12}
"""
"""The table, in the form of `codesign_dialects.generic.operators.TABLE`."""
