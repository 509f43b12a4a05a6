// A generic chip to start from, small cores under one static schedule, the model in their SRAM. Change its figures with `evolve` or in a copy of this file.
chip.design @generic_dataflow attributes {process = "5 nm", clock = "1 GHz"}
    sources {others = "chosen: a round figure"} {
  chip.link @link {kind = "serial", bandwidth = "200 GB/s", topology = "all_to_all"}
      sources {others = "chosen: a round figure"}
  chip.scheduler @program {kind = "static"}
  chip.core @core count(1024)
      sources {count = "chosen: a round figure"} {
    chip.matmul @mxu {lanes = 32, width = 16, dataflow = "tiled", formats = ["int8", "bfloat16"], rates = {bfloat16 = 0.5}}
        sources {others = "chosen: a round figure"}
    chip.vector @vpu {lanes = 16}
        sources {others = "chosen: a round figure"}
    chip.sram @sram {role = "shared", capacity = "512 KiB", width = 512}
        sources {others = "chosen: a round figure"}
  }
}
