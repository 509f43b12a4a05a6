// Google TPU v4i: one core of four matrix units, for inference.
chip.design @tpu_v4i attributes {
  process = "7 nm", clock = "1.05 GHz", area = "400 mm2", power = "175 W"
} sources {
  process = "published: Jouppi et al., Ten Lessons From Three Generations, ISCA 2021, table 1",
  clock = "published: Jouppi et al., ISCA 2021, table 1",
  area = "published: below 400 mm2, Jouppi et al., ISCA 2021, table 1; an upper bound",
  power = "published: Jouppi et al., ISCA 2021, table 1"
} {
  chip.memory @hbm {kind = "hbm2", capacity = "8 GiB", bandwidth = "614 GB/s"}
      sources {others = "published: Jouppi et al., ISCA 2021, table 1"}
  chip.link @ici {kind = "ICI", bandwidth = "100 GB/s", ports = 2, topology = "ring"}
      sources {others = "estimated: two links of 400 Gb/s each direction, Jouppi et al., ISCA 2021"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(1)
      sources {count = "published: Jouppi et al., ISCA 2021"} {
    chip.matmul @mxu count(4) {
      lanes = 128, width = 128, dataflow = "weight_stationary", formats = ["bfloat16", "int8"]
    } sources {
      others = "published: four 128 by 128 systolic arrays, Jouppi et al., ISCA 2021"
    }
    chip.vector @vpu {lanes = 2048, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 8 by 128 lanes of two units; range 1024 to 4096"}
    chip.sram @vmem {role = "shared", capacity = "144 MB", width = 2048}
        sources {
          capacity = "published: 128 MB common memory and 16 MB vector memory, Jouppi et al., ISCA 2021",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
