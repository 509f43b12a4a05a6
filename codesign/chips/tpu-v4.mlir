// Google TPU v4: two cores of four matrix units each.
chip.design @tpu_v4 attributes {
  process = "7 nm", clock = "1.05 GHz", area = "600 mm2", power = "192 W", idle_power = "90 W"
} sources {
  process = "published: Jouppi et al., TPU v4, ISCA 2023, table 4",
  clock = "published: Jouppi et al., ISCA 2023, table 4",
  area = "published: below 600 mm2, Jouppi et al., ISCA 2023, table 4; an upper bound",
  power = "measured: the largest seen, Jouppi et al., ISCA 2023, table 4",
  idle_power = "measured: Jouppi et al., ISCA 2023, table 4"
} {
  chip.memory @hbm {kind = "hbm2", capacity = "32 GiB", bandwidth = "1.2 TB/s"}
      sources {others = "published: Jouppi et al., ISCA 2023, table 4"}
  chip.link @ici {kind = "ICI", bandwidth = "270 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: six links of 45 GB/s each direction, Austin et al., How to Scale Your Model, 2025"
      }
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(2)
      sources {count = "published: Austin et al., How to Scale Your Model, 2025, TPU table"} {
    chip.matmul @mxu count(4) {
      lanes = 128, width = 128, dataflow = "weight_stationary", formats = ["bfloat16", "int8"]
    } sources {
      others = "published: 128 by 128 systolic arrays, Austin et al., How to Scale Your Model, 2025; their number follows from the peak rate"
    }
    chip.vector @vpu {lanes = 2048, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 8 by 128 lanes of two units; range 1024 to 4096"}
    chip.sram @vmem {role = "shared", capacity = "85 MB", width = 2048}
        sources {
          capacity = "estimated: half of 128 MB common, 32 MB vector and 10 MB sparse memory",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
