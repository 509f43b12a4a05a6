// A generic chip to start from, dot-product engines fed from HBM. Change its figures with `evolve` or in a copy of this file.
chip.design @generic_dot_product attributes {process = "5 nm", clock = "1 GHz"}
    sources {others = "chosen: a round figure"} {
  chip.memory @hbm {kind = "hbm3e", capacity = "96 GB", bandwidth = "4 TB/s", channels = 4}
      sources {others = "chosen: a round figure"}
  chip.link @link {kind = "serial", bandwidth = "200 GB/s", topology = "all_to_all"}
      sources {others = "chosen: a round figure"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core count(64)
      sources {count = "chosen: a round figure"} {
    chip.matmul @mxu {lanes = 64, width = 64, dataflow = "dot_product", formats = ["int8", "int4", "ternary"], rates = {int4 = 2, ternary = 2}}
        sources {others = "chosen: a round figure"}
    chip.vector @vpu {lanes = 128}
        sources {others = "chosen: a round figure"}
    chip.sram @sram {role = "shared", capacity = "2 MiB", width = 4096}
        sources {others = "chosen: a round figure"}
  }
}
