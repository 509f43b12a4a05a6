// d-Matrix Corsair, one card: eight chiplets that multiply in memory; weights stay in SRAM where they fit.
chip.design @corsair attributes {process = "6 nm", clock = "1.1444 GHz", power = "600 W"}
    sources {
      process = "published: TSMC N6, d-Matrix at Hot Chips 2025",
      clock = "estimated: 2,400 TOPS in int8 over 2^20 multiply-adds; only their product is published",
      power = "press: 600 W a card"
    } {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
      sources {others = "published: d-Matrix at Hot Chips 2025"}
  chip.memory @lpddr {kind = "lpddr5x", capacity = "256 GB", bandwidth = "400 GB/s"}
      sources {capacity = "published: d-Matrix at Hot Chips 2025", bandwidth = "press: 400 GB/s"}
  chip.link @pcie_links {kind = "PCIe 5 between cards", bandwidth = "63 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: sixteen lanes of PCIe 5; two cards have a faster bridge of unknown bandwidth"}
  chip.scheduler @program {kind = "static"}
  chip.core @chiplet count(8)
      sources {count = "published: two packages of four chiplets, d-Matrix at Hot Chips 2025"} {
    chip.matmul @dimc count(64) {
      lanes = 64, width = 32, dataflow = "tiled", formats = ["int8", "int4"], rates = {int4 = 4}
    } sources {
      rates = "press: 9,600 TOPS in MXINT4 against 2,400 in MXINT8",
      others = "estimated: 2^20 multiply-adds a card; the split is notional"
    }
    chip.vector @simd {lanes = 4096, formats = ["float32"]}
        sources {lanes = "estimated: not published; range 1024 to 16384"}
    chip.sram @memory {role = "shared", capacity = "250 MB", bandwidth = "18.75 TB/s"}
        sources {others = "published: 2 GB and 150 TB/s a card, d-Matrix at Hot Chips 2025"}
  }
}
