// A generic chip to start from, arrays of SRAM that multiply where the weights are. Change its figures with `evolve` or in a copy of this file.
chip.design @generic_in_memory attributes {process = "5 nm", clock = "1 GHz"}
    sources {others = "chosen: a round figure"} {
  chip.link @link {kind = "serial", bandwidth = "200 GB/s", topology = "all_to_all"}
      sources {others = "chosen: a round figure"}
  chip.scheduler @program {kind = "static"}
  chip.core @core count(4096)
      sources {count = "chosen: a round figure"} {
    chip.matmul @mxu {lanes = 16, width = 16, dataflow = "weight_stationary", formats = ["int8", "int4"], rates = {int4 = 4}}
        sources {others = "chosen: a round figure"}
    chip.vector @vpu {lanes = 4}
        sources {others = "chosen: a round figure"}
    chip.sram @sram {role = "shared", capacity = "64 KiB", width = 256}
        sources {others = "chosen: a round figure"}
  }
}
