// Apple M2 Ultra: the 76 graphics cores over unified memory. Not calibrated: an upper bound on speed.
chip.design @apple_m2_ultra attributes {process = "5 nm", clock = "1.398 GHz"}
    sources {
      process = "press: TSMC N5P",
      clock = "estimated: 27.2 TFLOP/s in float32 over 76 cores of 128 multiply-adds"
    } {
  chip.memory @unified {kind = "lpddr5", capacity = "192 GB", bandwidth = "800 GB/s"}
      sources {others = "published: Apple, M2 Ultra, 2023"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @gpu count(76)
      sources {count = "published: Apple, M2 Ultra, 2023"} {
    chip.matmul @alu {lanes = 128, width = 1, dataflow = "tiled", formats = ["float32", "float16", "bfloat16"]}
        sources {others = "press: 27.2 TFLOP/s in float32 and no more in float16"}
    chip.vector @simd {lanes = 128, formats = ["float32", "float16"]}
        sources {lanes = "press: the same units"}
    chip.sram @threadgroup {role = "shared", capacity = "32 KiB", width = 128}
        sources {
          capacity = "published: Apple, Metal feature set tables, threadgroup memory",
          width = "estimated: 32 banks of 4 bytes a cycle"
        }
  }
}
