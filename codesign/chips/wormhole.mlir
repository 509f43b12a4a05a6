// Tenstorrent Wormhole, one chip, as on the card n150. Its BLOCKFP8 stands here as mxint8: both share an exponent in a block.
chip.design @wormhole attributes {process = "12 nm", clock = "1 GHz", area = "670 mm2", power = "160 W", price = "999 USD"}
    sources {
      process = "press: GlobalFoundries 12 nm",
      clock = "published: Tenstorrent documentation, Wormhole specifications",
      area = "estimated: reported, not published",
      power = "published: Tenstorrent documentation, Wormhole specifications; of the card",
      price = "press: list price of the card"
    } {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 16}
      sources {others = "published: Tenstorrent documentation, Wormhole specifications"}
  chip.memory @dram {kind = "gddr6", capacity = "12 GB", bandwidth = "288 GB/s"}
      sources {others = "published: Tenstorrent documentation, Wormhole specifications"}
  chip.link @ethernet {kind = "Ethernet", bandwidth = "200 GB/s", ports = 16, topology = "torus"}
      sources {others = "press: sixteen links of 100 Gb/s on the chip"}
  chip.network @noc {topology = "torus"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @tensix count(72)
      sources {count = "published: 72 of 80 cores, Tenstorrent documentation, Wormhole specifications"} {
    chip.matmul @fpu {
      lanes = 32, width = 16, dataflow = "tiled", formats = ["bfloat16", "float16", "mxint8", "fp8_e4m3"],
      rates = {mxint8 = 2, fp8_e4m3 = 3.55}
    } sources {
      rates = "published: 262 TFLOP/s in fp8, 148 in BLOCKFP8, 74 in float16, Tenstorrent documentation, Wormhole specifications",
      others = "estimated: 512 multiply-adds a core and cycle follow from 74 TFLOP/s; the split is notional"
    }
    chip.vector @sfpu {lanes = 32, formats = ["float32", "bfloat16"]}
        sources {lanes = "published: 32 lanes, Tenstorrent ISA documentation"}
    chip.sram @l1 {role = "shared", capacity = "1.5 MB", bandwidth = "320 GB/s"}
        sources {capacity = "published: Tenstorrent documentation, Wormhole specifications", bandwidth = "estimated: as Grayskull at this clock, 384 GB/s at 1.2 GHz, arXiv 2407.13885"}
  }
}
