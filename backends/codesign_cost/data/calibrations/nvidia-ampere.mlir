// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 2.698e-06,
    narrow_launch = 7.795e-06,
    vector_launch = 7.413e-06,
    widen_launch = 7.526e-06,
    narrow_rate = 0.8535,
    wide_rate = 0.923,
    fill = 163.5,
    split_fill = 493.2,
    narrow_split_fill = 33700.0,
    tile_operand = 21.38,
    least_tile = 5035.0,
    narrow_least_tile = 4466.0,
    memory_efficiency = 0.8075,
    decode_launch = 1.059e-05,
    decode_narrow_launch = 5.837e-06,
    decode_split = 8.806e-06,
    decode_block = 1.633e-06,
    decode_shared_block = 5.512e-06,
    decode_narrow_block = 4.82e-07,
    decode_query = 8.008e-10,
    decode_narrow_query = 7.913e-10,
    decode_compute_efficiency = 0.659,
    decode_vector = 2.318,
    decode_cache_efficiency = 0.529,
    decode_memory_efficiency = 0.8433,
    prefill_launch = 1.245e-05,
    prefill_floor = 33580.0,
    prefill_softmax = 8.307,
    prefill_compute_efficiency = 0.651,
    prefill_serial_share = 1.0,
    prefill_memory_efficiency = 0.5328,
    collective_launch = 3.266e-06,
    collective_step = 1.276e-06,
    scatter_launch = 3.958e-05,
    link_efficiency = 0.6973,
    direct_efficiency = 0.493,
    exchange_overlap = 0.0
  },
  fitted_on = "TensorRT-LLM 1.0 operators on A100 SXM (AIConfigurator, Apache-2.0): 797 of product, 384 of decode, 417 of prefill, 50 of all_reduce",
  residual = 0.087
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 5.37
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.010
}
