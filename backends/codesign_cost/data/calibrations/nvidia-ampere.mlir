// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 3.352e-06,
    narrow_launch = 7.155e-06,
    vector_launch = 6.748e-06,
    widen_launch = 6.843e-06,
    narrow_rate = 0.8468,
    wide_rate = 0.9044,
    fill = 149.7,
    split_fill = 559.0,
    narrow_split_fill = 31820.0,
    tile_operand = 19.89,
    least_tile = 2820.0,
    narrow_least_tile = 4482.0,
    memory_efficiency = 0.79,
    decode_launch = 1.071e-05,
    decode_narrow_launch = 5.861e-06,
    decode_split = 7.733e-06,
    decode_block = 1.733e-06,
    decode_shared_block = 6.117e-06,
    decode_narrow_block = 1.051e-06,
    decode_compute_efficiency = 0.1409,
    decode_vector = 2.333,
    decode_cache_efficiency = 0.5273,
    decode_memory_efficiency = 0.8437,
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
    direct_efficiency = 0.493
  },
  fitted_on = "TensorRT-LLM 1.0 operators on A100 SXM (AIConfigurator, Apache-2.0): 797 of product, 384 of decode, 417 of prefill, 50 of all_reduce",
  residual = 0.089
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 4.64
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.060
}
