// AMD EPYC 9654: 96 Zen 4 cores. Not calibrated: an upper bound on speed.
chip.design @epyc_9654 attributes {process = "5 nm", clock = "2.4 GHz", power = "360 W", price = "11805 USD"}
    sources {
      process = "published: AMD EPYC 9004 datasheet (TSMC N5)",
      clock = "published: AMD EPYC 9654 specifications, base clock",
      power = "published: AMD EPYC 9654 specifications",
      price = "published: AMD EPYC 9654 specifications, price of 1,000"
    } {
  chip.memory @dram {kind = "ddr5", capacity = "768 GB", bandwidth = "460.8 GB/s", channels = 12}
      sources {capacity = "chosen: twelve modules of 64 GB", others = "published: AMD EPYC 9654 specifications, DDR5-4800"}
  chip.sram @l3 {role = "cache", capacity = "384 MB", width = 3072}
      sources {
        capacity = "published: AMD EPYC 9654 specifications",
        width = "estimated: 32 bytes a core and cycle"
      }
  chip.scheduler @threads {kind = "kernels"}
  chip.core @core count(96)
      sources {count = "published: AMD EPYC 9654 specifications"} {
    chip.matmul @fma {
      lanes = 16, width = 1, dataflow = "tiled", formats = ["float32", "bfloat16", "int8"],
      rates = {bfloat16 = 2, int8 = 4}
    } sources {
      rates = "published: AVX512_BF16 and VNNI, Software Optimization Guide for the AMD Zen 4 Microarchitecture",
      others = "published: two 256-bit multiply-add pipes, Software Optimization Guide for the AMD Zen 4 Microarchitecture"
    }
    chip.vector @simd {lanes = 16, formats = ["float32"]}
        sources {lanes = "published: the same pipes"}
    chip.sram @l2 {role = "shared", capacity = "1 MiB", width = 64}
        sources {others = "published: Software Optimization Guide for the AMD Zen 4 Microarchitecture"}
  }
}
