// Groq's second LPU: given to Samsung's foundry in 2024, never sold. Only its process was told; every other figure is an
// assumption between the first LPU and the LP30 that took its place.
chip.design @groq_lpu_v2 attributes {process = "4 nm", clock = "1.2 GHz", family = "groq-tsp"}
    sources {
      process = "press: Samsung SF4X, Samsung Foundry Forum, 2024",
      clock = "estimated: assumption; range 0.9 to 1.5 GHz"
    } {
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "480 GB/s", topology = "dragonfly"}
      sources {bandwidth = "estimated: assumption; range 240 to 1250 GB/s"}
  chip.core @core {
    chip.matmul @mxm count(4) {
      lanes = 320, width = 320, dataflow = "weight_stationary", formats = ["int8", "float16"], rates = {float16 = 0.25}
    } sources {others = "estimated: as the first LPU"}
    chip.vector @vxm {lanes = 5120}
        sources {lanes = "estimated: as the first LPU; range 5120 to 20480"}
    chip.sram @mem {role = "shared", capacity = "300 MB", bandwidth = "110 TB/s"}
        sources {
          capacity = "estimated: assumption; range 230 to 500 MB",
          bandwidth = "estimated: assumption; range 80 to 150 TB/s"
        }
    chip.scheduler @icu {kind = "static"}
  }
}
