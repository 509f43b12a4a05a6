// A generic chip to start from, weight-stationary systolic arrays fed from HBM. Change its figures with `evolve` or in a copy of this file.
chip.design @generic_systolic attributes {process = "5 nm", clock = "1 GHz"}
    sources {others = "chosen: a round figure"} {
  chip.memory @hbm {kind = "hbm3e", capacity = "96 GB", bandwidth = "4 TB/s", channels = 4}
      sources {others = "chosen: a round figure"}
  chip.link @link {kind = "serial", bandwidth = "200 GB/s", topology = "all_to_all"}
      sources {others = "chosen: a round figure"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(8)
      sources {count = "chosen: a round figure"} {
    chip.matmul @mxu {lanes = 256, width = 256, dataflow = "weight_stationary", formats = ["int8", "bfloat16"], rates = {bfloat16 = 0.5}}
        sources {others = "chosen: a round figure"}
    chip.vector @vpu {lanes = 1024}
        sources {others = "chosen: a round figure"}
    chip.sram @sram {role = "shared", capacity = "16 MiB", width = 1024}
        sources {others = "chosen: a round figure"}
  }
}
