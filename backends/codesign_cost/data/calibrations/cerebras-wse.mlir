// Written by benchmarks/calibrate.py.
chip.calibration @stages {
  law = "static_pipeline",
  values = {
    stage = 3.375e-06
  },
  fitted_on = "Llama-3.1-8B on one wafer, 1,837 tokens a second for one user (Artificial Analysis, 2024-09)",
  residual = 0.000
}
