// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 2.523e-06,
    narrow_launch = 9.893e-06,
    vector_launch = 1.325e-05,
    widen_launch = 6.86e-06,
    narrow_rate = 0.71,
    wide_rate = 0.8781,
    fill = 136.6,
    split_fill = 2313.0,
    narrow_split_fill = 4600.0,
    tile_operand = 6.118e-06,
    least_tile = 4068.0,
    narrow_least_tile = 3604.0,
    memory_efficiency = 0.807,
    decode_launch = 8.259e-06,
    decode_narrow_launch = 5.837e-06,
    decode_split = 5.619e-06,
    decode_block = 1.113e-06,
    decode_shared_block = 3.923e-06,
    decode_narrow_block = 4.82e-07,
    decode_query = 4.972e-10,
    decode_narrow_query = 7.913e-10,
    decode_compute_efficiency = 0.04477,
    decode_vector = 8.465,
    decode_cache_efficiency = 1.0,
    decode_memory_efficiency = 0.8324,
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
    direct_efficiency = 0.6556,
    exchange_overlap = 0.0
  },
  fitted_on = "TensorRT-LLM 1.3 operators on H100 SXM (AIConfigurator, Apache-2.0): 695 of product, 428 of decode, 340 of prefill, 43 of all_reduce",
  residual = 0.094
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 5.37
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.010
}
