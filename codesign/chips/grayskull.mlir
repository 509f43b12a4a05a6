// Tenstorrent Grayskull, as on the card e150. Its BLOCKFP8 stands here as mxint8: both share an exponent in a block.
chip.design @grayskull attributes {process = "12 nm", clock = "1.2 GHz", power = "200 W", price = "799 USD"}
    sources {
      process = "press: GlobalFoundries 12 nm",
      clock = "published: arXiv 2407.13885",
      power = "published: arXiv 2407.13885, of the card; 150 W elsewhere",
      price = "press: list price of the card"
    } {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 16}
      sources {others = "published: Tenstorrent documentation, Grayskull specifications"}
  chip.memory @dram {kind = "lpddr4", capacity = "8 GB", bandwidth = "118.4 GB/s"}
      sources {others = "published: arXiv 2407.13885"}
  chip.network @noc {topology = "torus"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @tensix count(120)
      sources {count = "published: arXiv 2407.13885"} {
    chip.matmul @fpu {
      lanes = 32, width = 40, dataflow = "tiled", formats = ["int8", "mxint8", "bfloat16", "float16"],
      rates = {mxint8 = 0.9, bfloat16 = 0.225, float16 = 0.225}
    } sources {
      rates = "press: 332 TFLOP/s in BLOCKFP8 and 83 in float16 against 368 TOPS in int8",
      others = "press: 368 TOPS, Fortune, 2021-05-21; the split is notional"
    }
    chip.vector @sfpu {lanes = 32, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: as Wormhole"}
    chip.sram @l1 {role = "shared", capacity = "1 MB", bandwidth = "384 GB/s"}
        sources {others = "published: arXiv 2407.13885"}
  }
}
