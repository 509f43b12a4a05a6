// TENET, a research prototype: ternary products by tables of sums (Huang et al., arXiv 2509.13765). The paper's abstract
// gives ratios to an A100 and no absolute figure; all here are assumptions.
chip.design @tenet attributes {process = "28 nm", clock = "0.5 GHz"}
    sources {
      process = "estimated: assumption; range 28 to 7 nm",
      clock = "estimated: assumption; range 0.25 to 1 GHz"
    } {
  chip.memory @dram {kind = "lpddr5", capacity = "16 GB", bandwidth = "102.4 GB/s"}
      sources {
        capacity = "estimated: assumption; range 8 to 32 GB",
        bandwidth = "estimated: assumption; range 51.2 to 204.8 GB/s"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(16)
      sources {count = "estimated: assumption; range 4 to 64"} {
    chip.matmul @tables {
      lanes = 64, width = 64, dataflow = "dot_product", formats = ["ternary", "int8"], rates = {int8 = 0.125}
    } sources {others = "estimated: assumption, a ternary core with few cores of high precision"}
    chip.vector @vector {lanes = 32}
        sources {lanes = "estimated: assumption; range 8 to 128"}
    chip.sram @buffer {role = "shared", capacity = "256 KiB", width = 1024}
        sources {
          capacity = "estimated: assumption; range 64 to 1024 KiB",
          width = "estimated: a ternary weight of two bits a multiplier and cycle"
        }
  }
}
