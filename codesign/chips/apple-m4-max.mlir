// Apple M4 Max: the 40 graphics cores over unified memory. Not calibrated: an upper bound on speed.
chip.design @apple_m4_max attributes {process = "3 nm", clock = "1.5625 GHz"}
    sources {
      process = "press: TSMC N3E",
      clock = "estimated: 16 TFLOP/s in float32 over 40 cores of 128 multiply-adds"
    } {
  chip.memory @unified {kind = "lpddr5x", capacity = "128 GB", bandwidth = "546 GB/s"}
      sources {others = "published: Apple, M4 Max, 2024"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @gpu count(40)
      sources {count = "published: Apple, M4 Max, 2024"} {
    chip.matmul @alu {lanes = 128, width = 1, dataflow = "tiled", formats = ["float32", "float16", "bfloat16"]}
        sources {others = "press: 16 TFLOP/s in float32 and no more in float16"}
    chip.vector @simd {lanes = 128, formats = ["float32", "float16"]}
        sources {lanes = "press: the same units"}
    chip.sram @threadgroup {role = "shared", capacity = "32 KiB", width = 128}
        sources {
          capacity = "published: Apple, Metal feature set tables, threadgroup memory",
          width = "estimated: 32 banks of 4 bytes a cycle"
        }
  }
}
