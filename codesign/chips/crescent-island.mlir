// Intel Crescent Island, announced in 2025: an inference card with LPDDR5X. No rate, cache or process was told; they are
// assumptions.
chip.design @crescent_island attributes {process = "3 nm", clock = "2 GHz", power = "350 W"}
    sources {
      process = "estimated: not told; range 5 to 2 nm",
      clock = "estimated: assumption; range 1.5 to 2.8 GHz",
      power = "press: target of the card, Tom's Hardware from Computex 2026"
    } {
  chip.memory @lpddr {kind = "lpddr5x", capacity = "160 GB", bandwidth = "684 GB/s"}
      sources {
        capacity = "published: Intel, OCP Global Summit 2025",
        bandwidth = "press: an estimate of 640 bits at 8.5 Gb/s; at 10.7 Gb/s it is 856; range 684 to 856 GB/s"
      }
  chip.link @pcie_links {kind = "PCIe 5 between cards", bandwidth = "63 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: sixteen lanes of PCIe 5, of unknown generation; range 63 to 126 GB/s"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @xe count(32)
      sources {count = "estimated: assumption; range 16 to 64"} {
    chip.matmul @xmx count(8) {
      lanes = 16, width = 16, dataflow = "tiled", formats = ["bfloat16", "float16", "fp8_e4m3", "fp4_e2m1", "int8"],
      rates = {fp8_e4m3 = 2, int8 = 2, fp4_e2m1 = 4}
    } sources {
      rates = "estimated: each halving of the width doubles the rate; fp8 and MXFP4 are told to be native",
      others = "estimated: assumption, 262 TFLOP/s in bfloat16"
    }
    chip.vector @xve {lanes = 128, formats = ["float32", "float16"]}
        sources {lanes = "estimated: as the Arc B580, eight engines of 16 lanes"}
    chip.sram @slm {role = "shared", capacity = "256 KiB", width = 128}
        sources {others = "estimated: as the Arc B580"}
  }
}
