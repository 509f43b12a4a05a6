// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 2.786e-06,
    narrow_launch = 1.006e-05,
    narrow_rate = 0.8216,
    fill = 21.68,
    tile_loss = 18.11,
    memory_efficiency = 0.8006,
    decode_launch = 7.576e-06,
    decode_split = 5.406e-06,
    decode_block = 1.341e-06,
    decode_shared_block = 4.412e-06,
    decode_narrow_block = 8.172e-07,
    decode_compute_efficiency = 0.04268,
    decode_memory_efficiency = 1.0,
    prefill_launch = 1.714e-05,
    prefill_floor = 1931.0,
    prefill_softmax = 11.45,
    prefill_compute_efficiency = 0.7565,
    prefill_memory_efficiency = 0.3645,
    collective_launch = 2.388e-06,
    collective_step = 5.658e-07,
    scatter_launch = 2.238e-05,
    link_efficiency = 0.7812,
    direct_efficiency = 0.6556
  },
  fitted_on = "TensorRT-LLM 1.3 operators on H100 SXM (AIConfigurator, Apache-2.0): 695 of product, 428 of decode, 340 of prefill, 43 of all_reduce",
  residual = 0.127
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 4.77
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.053
}
