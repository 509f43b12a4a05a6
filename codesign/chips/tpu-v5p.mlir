// Google TPU v5p: two cores of four matrix units each.
chip.design @tpu_v5p attributes {
  process = "5 nm", clock = "1.751 GHz"
} sources {
  process = "estimated: not published; range 7 to 4 nm",
  clock = "estimated: 459 TFLOP/s in bfloat16 over eight arrays of 128 by 128"
} {
  chip.memory @hbm {kind = "hbm2e", capacity = "95 GB", bandwidth = "2.765 TB/s"}
      sources {others = "published: Google Cloud documentation, TPU v5p"}
  chip.link @ici {kind = "ICI", bandwidth = "600 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: 1,200 GB/s both directions together, Google Cloud documentation, TPU v5p"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(2)
      sources {count = "published: Austin et al., How to Scale Your Model, 2025, TPU table"} {
    chip.matmul @mxu count(4) {
      lanes = 128, width = 128, dataflow = "weight_stationary", formats = ["bfloat16", "int8"], rates = {int8 = 2}
    } sources {
      rates = "published: 918 TOPS in int8, Austin et al., How to Scale Your Model, 2025",
      others = "published: 128 by 128 systolic arrays, Austin et al., How to Scale Your Model, 2025; their number follows from the peak rate"
    }
    chip.vector @vpu {lanes = 2048, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 8 by 128 lanes of two units; range 1024 to 4096"}
    chip.sram @vmem {role = "shared", capacity = "64 MiB", width = 2048}
        sources {
          capacity = "estimated: as the other generations; range 32 to 128 MiB",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
