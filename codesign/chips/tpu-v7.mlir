// Google TPU v7, Ironwood: two dies of one core each in a package.
chip.design @tpu_v7 attributes {process = "3 nm", clock = "2.2 GHz"}
    sources {
      process = "estimated: not published; range 5 to 3 nm",
      clock = "estimated: 2,307 TFLOP/s in bfloat16 over eight arrays of 256 by 256"
    } {
  chip.memory @hbm {kind = "hbm3e", capacity = "192 GiB", bandwidth = "7.38 TB/s", channels = 8}
      sources {others = "published: Google Cloud documentation, TPU7x"}
  chip.link @ici {kind = "ICI", bandwidth = "600 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: 1,200 GB/s both directions together, Google Cloud documentation, TPU7x"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(2)
      sources {count = "published: Google Cloud documentation, TPU7x"} {
    chip.matmul @mxu count(4) {
      lanes = 256, width = 256, dataflow = "weight_stationary", formats = ["bfloat16", "fp8_e4m3"], rates = {fp8_e4m3 = 2}
    } sources {
      rates = "published: 4,614 TFLOP/s in fp8, Google Cloud documentation, TPU7x",
      others = "estimated: arrays as the TPU v6e's; their number and the clock follow from the peak rate"
    }
    chip.vector @vpu {lanes = 4096, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: not published; range 2048 to 8192"}
    chip.sram @vmem {role = "shared", capacity = "128 MiB", width = 4096}
        sources {
          capacity = "estimated: as TPU v5e; range 64 to 256 MiB",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
