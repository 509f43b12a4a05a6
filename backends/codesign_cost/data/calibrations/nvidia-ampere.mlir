// Written by benchmarks/calibrate.py.
chip.calibration @kernels {
  law = "tiled_dispatch",
  values = {
    launch = 3.93e-06,
    narrow_launch = 8.169e-06,
    narrow_rate = 0.9303,
    fill = 102.2,
    tile_loss = 19.22,
    memory_efficiency = 0.7655,
    decode_launch = 1.073e-05,
    decode_split = 7.44e-06,
    decode_block = 1.903e-06,
    decode_shared_block = 6.11e-06,
    decode_narrow_block = 8.172e-07,
    decode_compute_efficiency = 0.1322,
    decode_memory_efficiency = 1.0,
    prefill_launch = 1.311e-05,
    prefill_floor = 398.7,
    prefill_softmax = 11.45,
    prefill_compute_efficiency = 0.632,
    prefill_memory_efficiency = 0.2573,
    collective_launch = 3.266e-06,
    collective_step = 1.276e-06,
    scatter_launch = 3.958e-05,
    link_efficiency = 0.6973,
    direct_efficiency = 0.493
  },
  fitted_on = "TensorRT-LLM 1.0 operators on A100 SXM (AIConfigurator, Apache-2.0): 797 of product, 384 of decode, 417 of prefill, 50 of all_reduce",
  residual = 0.125
}
chip.calibration @power {
  law = "energy",
  values = {
    switching = 4.77
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM under vLLM 0.11, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.053
}
