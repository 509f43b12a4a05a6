// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 2.587e-06,
    narrow_launch = 9.811e-06,
    vector_launch = 1.282e-05,
    widen_launch = 6.86e-06,
    narrow_rate = 0.7103,
    wide_rate = 0.8706,
    fill = 135.7,
    split_fill = 2402.0,
    narrow_split_fill = 43220.0,
    tile_operand = 4.521e-05,
    least_tile = 3443.0,
    narrow_least_tile = 3680.0,
    memory_efficiency = 0.8101,
    decode_launch = 8.309e-06,
    decode_narrow_launch = 5.861e-06,
    decode_split = 5.516e-06,
    decode_block = 1.2e-06,
    decode_shared_block = 4.26e-06,
    decode_narrow_block = 1.051e-06,
    decode_compute_efficiency = 0.04136,
    decode_vector = 8.464,
    decode_cache_efficiency = 1.0,
    decode_memory_efficiency = 0.8329,
    prefill_launch = 1.614e-05,
    prefill_floor = 163200.0,
    prefill_softmax = 8.307,
    prefill_compute_efficiency = 0.7529,
    prefill_serial_share = 1.0,
    prefill_memory_efficiency = 0.5998,
    collective_launch = 2.388e-06,
    collective_step = 5.658e-07,
    scatter_launch = 2.238e-05,
    link_efficiency = 0.7812,
    direct_efficiency = 0.6556
  },
  fitted_on = "TensorRT-LLM 1.3 operators on H100 SXM (AIConfigurator, Apache-2.0): 695 of product, 428 of decode, 340 of prefill, 43 of all_reduce",
  residual = 0.096
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 4.64
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.060
}
