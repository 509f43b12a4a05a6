// NVIDIA Groq 3 LPU (LP30), announced in 2026: the first LPU's way of working with twice the SRAM. What a product waits for
// is taken from the first LPU, which is an assumption.
chip.design @groq_lp30 attributes {process = "4 nm", clock = "1.5015 GHz", family = "groq-tsp"}
    sources {
      process = "press: Samsung 4 nm, Tom's Hardware, 2026-03",
      clock = "estimated: 1,230 TFLOP/s in fp8 over four planes of 320 by 320, as the first LPU has; only the product is told"
    } {
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "1.25 TB/s", topology = "dragonfly"}
      sources {bandwidth = "press: 640 TB/s over a rack of 256, taken as both directions together"}
  chip.core @core {
    chip.matmul @mxm count(4) {
      lanes = 320, width = 320, dataflow = "weight_stationary", formats = ["fp8_e4m3", "int8", "float16"], rates = {float16 = 0.25}
    } sources {
      rates = "estimated: int8 as fp8, float16 a quarter, as the first LPU",
      others = "press: 1.23 PFLOP/s in fp8; the split is the first LPU's"
    }
    chip.vector @vxm {lanes = 5120}
        sources {lanes = "estimated: as the first LPU; range 5120 to 20480"}
    chip.sram @mem {role = "shared", capacity = "500 MB", bandwidth = "150 TB/s"}
        sources {others = "press: 500 MB and 150 TB/s, NVIDIA GTC 2026; 512 MB in Tom's Hardware"}
    chip.scheduler @icu {kind = "static"}
  }
}
