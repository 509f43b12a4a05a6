// Written by benchmarks/calibrate.py.
chip.calibration @sampling {
  law = "sampling",
  values = {
    sampling_bytes = 1010.0
  },
  fitted_on = "Llama-3.1-8B in bfloat16 on one H100 SXM, 8 to 691 requests at once (ML.ENERGY, 2025-12)",
  residual = 0.016
}
