// Tenstorrent Blackhole, as on the card p150a. Its BLOCKFP8 stands here as mxint8: both share an exponent in a block.
chip.design @blackhole attributes {process = "6 nm", clock = "1.35 GHz", area = "600 mm2", power = "300 W", price = "1399 USD"}
    sources {
      process = "press: TSMC N6",
      clock = "published: Tenstorrent documentation, Blackhole specifications",
      area = "press: about 600 mm2",
      power = "published: Tenstorrent documentation, Blackhole specifications; of the card",
      price = "press: list price of the card"
    } {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
      sources {others = "published: Tenstorrent documentation, Blackhole specifications"}
  chip.memory @dram {kind = "gddr6", capacity = "32 GB", bandwidth = "512 GB/s"}
      sources {others = "published: Tenstorrent documentation, Blackhole specifications"}
  chip.link @ethernet {kind = "Ethernet", bandwidth = "400 GB/s", ports = 4, topology = "torus"}
      sources {others = "published: four ports of 800 Gb/s, Tenstorrent documentation, Blackhole specifications"}
  chip.network @noc {topology = "torus"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @tensix count(120)
      sources {count = "press: 120 cores and 180 MB; the documentation of the first cards gives 140 and 210 MB"} {
    chip.matmul @fpu {
      lanes = 32, width = 32, dataflow = "tiled", formats = ["bfloat16", "float16", "mxint8", "fp8_e4m3"],
      rates = {mxint8 = 2, fp8_e4m3 = 2}
    } sources {
      rates = "press: 664 TFLOP/s in BLOCKFP8, 332 in bfloat16, of 120 cores",
      others = "estimated: 1,024 multiply-adds a core and cycle follow from 332 TFLOP/s; the split is notional"
    }
    chip.vector @sfpu {lanes = 32, formats = ["float32", "bfloat16"]}
        sources {lanes = "published: 32 lanes, Tenstorrent ISA documentation"}
    chip.sram @l1 {role = "shared", capacity = "1.5 MB", bandwidth = "647 GB/s"}
        sources {capacity = "published: Tenstorrent documentation, Blackhole specifications", bandwidth = "press: 2.9 PB/s over the 32 chips of 140 cores of a Galaxy"}
  }
}
