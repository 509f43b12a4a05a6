// Written by benchmarks/calibrate.py.
chip.calibration @stages {
  law = "static_pipeline",
  values = {
    stage = 8.25e-06
  },
  fitted_on = "Llama-2-70B on 576 chips, 300 tokens a second for one user (Groq, 2024-02)",
  residual = 0.000
}
