// Rain AI's first chip, as told in 2021: int8 weights of 125 million parameters computed in memory, under 50 W. Never
// shipped; rates, process and links are assumptions.
chip.design @rain attributes {process = "12 nm", clock = "0.5 GHz", power = "50 W"}
    sources {
      process = "estimated: not told; range 28 to 5 nm",
      clock = "estimated: assumption; range 0.2 to 1 GHz",
      power = "press: below 50 W, EE Times, 2021; an upper bound"
    } {
  chip.link @link {kind = "unknown", bandwidth = "16 GB/s", topology = "ring"}
      sources {bandwidth = "estimated: assumption; range 4 to 64 GB/s"}
  chip.scheduler @program {kind = "static"}
  chip.core @array count(128)
      sources {count = "estimated: assumption; range 32 to 512"} {
    chip.matmul @dimc {lanes = 64, width = 16, dataflow = "weight_stationary", formats = ["int8"]}
        sources {others = "estimated: assumption"}
    chip.vector @simd {lanes = 16}
        sources {lanes = "estimated: assumption; range 4 to 64"}
  }
  chip.sram @cells {role = "shared", capacity = "125 MB", bandwidth = "64 TB/s"}
      sources {
        capacity = "press: 125 million int8 parameters, EE Times, 2021",
        bandwidth = "estimated: a weight a multiplier and cycle; range 16 to 256 TB/s"
      }
}
