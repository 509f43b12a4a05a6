// SambaNova SN40L: two dies of pattern compute and memory units. Its DDR, of unknown bandwidth, is left out.
chip.design @sn40l attributes {process = "5 nm", clock = "1.6 GHz"}
    sources {
      process = "published: SambaNova at Hot Chips 2024 (TSMC N5)",
      clock = "estimated: 638 TFLOP/s over 1,040 units of 32 lanes by 6 stages"
    } {
  chip.memory @hbm {kind = "hbm3", capacity = "64 GB", bandwidth = "1.6 TB/s"}
      sources {others = "published: SambaNova at Hot Chips 2024; about 2 TB/s elsewhere"}
  chip.scheduler @dataflow {kind = "microcode"}
  chip.core @tile count(1040)
      sources {count = "published: Prabhakar et al., SambaNova SN40L, arXiv 2405.07518"} {
    chip.matmul @pcu {lanes = 32, width = 6, dataflow = "tiled", formats = ["bfloat16"]}
        sources {others = "estimated: 638 TFLOP/s in bfloat16 over 1,040 units; the split is notional"}
    chip.vector @simd {lanes = 32, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: the lanes of the unit"}
    chip.sram @pmu {role = "shared", capacity = "500 kB", width = 128}
        sources {
          capacity = "published: 520 MB over 1,040 units, SambaNova at Hot Chips 2024",
          width = "estimated: a float32 operand a lane and cycle"
        }
  }
}
