// Intel Xeon Gold 6430: 32 cores with matrix extensions (AMX). Not calibrated: an upper bound on speed.
chip.design @xeon_gold_6430 attributes {process = "10 nm", clock = "2.1 GHz", power = "270 W"}
    sources {
      process = "published: Intel 7, Intel Xeon Gold 6430 specifications",
      clock = "published: Intel Xeon Gold 6430 specifications, base clock",
      power = "published: Intel Xeon Gold 6430 specifications"
    } {
  chip.memory @dram {kind = "ddr5", capacity = "256 GB", bandwidth = "281.6 GB/s", channels = 8}
      sources {capacity = "chosen: eight modules of 32 GB", others = "published: Intel Xeon Gold 6430 specifications, DDR5-4400"}
  chip.sram @l3 {role = "cache", capacity = "60 MB", width = 1024}
      sources {
        capacity = "published: Intel Xeon Gold 6430 specifications",
        width = "estimated: 32 bytes a core and cycle"
      }
  chip.scheduler @threads {kind = "kernels"}
  chip.core @core count(32)
      sources {count = "published: Intel Xeon Gold 6430 specifications"} {
    chip.matmul @amx {
      lanes = 16, width = 32, dataflow = "tiled", formats = ["bfloat16", "int8"], rates = {int8 = 2}
    } sources {
      others = "published: 1,024 bfloat16 and 2,048 int8 operations a core and cycle, Intel 64 and IA-32 Optimization Reference Manual, chapter on AMX"
    }
    chip.vector @avx {lanes = 32, formats = ["float32"]}
        sources {lanes = "published: two 512-bit multiply-add pipes, Intel Xeon Gold 6430 specifications"}
    chip.sram @l2 {role = "shared", capacity = "2 MiB", width = 64}
        sources {others = "published: Intel 64 and IA-32 Optimization Reference Manual"}
  }
}
