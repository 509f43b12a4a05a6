// Google TPU v6e, Trillium: one core of four matrix units.
chip.design @tpu_v6e attributes {
  process = "5 nm", clock = "1.751 GHz"
} sources {
  process = "estimated: not published; range 5 to 3 nm",
  clock = "estimated: 918 TFLOP/s in bfloat16 over four arrays of 256 by 256"
} {
  chip.memory @hbm {kind = "hbm3", capacity = "32 GB", bandwidth = "1.638 TB/s"}
      sources {others = "published: Google Cloud documentation, TPU v6e; the kind of memory is not stated"}
  chip.link @ici {kind = "ICI", bandwidth = "400 GB/s", ports = 4, topology = "torus", latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: 800 GB/s both directions together, Google Cloud documentation, TPU v6e"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(1)
      sources {count = "published: Austin et al., How to Scale Your Model, 2025, TPU table"} {
    chip.matmul @mxu count(4) {
      lanes = 256, width = 256, dataflow = "weight_stationary", formats = ["bfloat16", "int8"], rates = {int8 = 2}
    } sources {
      rates = "published: 1,836 TOPS in int8, Google Cloud documentation, TPU v6e",
      others = "published: 256 by 256 systolic arrays, Austin et al., How to Scale Your Model, 2025; their number follows from the peak rate"
    }
    chip.vector @vpu {lanes = 2048, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 8 by 128 lanes of two units; range 1024 to 4096"}
    chip.sram @vmem {role = "shared", capacity = "128 MiB", width = 4096}
        sources {
          capacity = "estimated: as TPU v5e; range 64 to 256 MiB",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
