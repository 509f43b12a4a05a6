// Google TPU v5e: one core of four matrix units.
chip.design @tpu_v5e attributes {
  process = "5 nm", clock = "1.503 GHz", area = "325 mm2"
} sources {
  process = "estimated: not published; range 7 to 4 nm",
  clock = "estimated: 197 TFLOP/s in bfloat16 over four arrays of 128 by 128",
  area = "estimated: unofficial, 300 to 350 mm2"
} {
  chip.memory @hbm {kind = "hbm2e", capacity = "16 GB", bandwidth = "819 GB/s"}
      sources {others = "published: Google Cloud documentation, TPU v5e"}
  chip.link @ici {kind = "ICI", bandwidth = "200 GB/s", ports = 4, topology = "torus", latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: 400 GB/s both directions together, Google Cloud documentation, TPU v5e"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(1)
      sources {count = "published: Austin et al., How to Scale Your Model, 2025, TPU table"} {
    chip.matmul @mxu count(4) {
      lanes = 128, width = 128, dataflow = "weight_stationary", formats = ["bfloat16", "int8"], rates = {int8 = 2}
    } sources {
      rates = "published: 393 TOPS in int8, Google Cloud documentation, TPU v5e",
      others = "published: 128 by 128 systolic arrays, Austin et al., How to Scale Your Model, 2025; their number follows from the peak rate"
    }
    chip.vector @vpu {lanes = 2048, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 8 by 128 lanes of two units; range 1024 to 4096"}
    chip.sram @vmem {role = "shared", capacity = "134 MB", width = 2048}
        sources {
          capacity = "published: 128 MiB, Austin et al., How to Scale Your Model, 2025",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
