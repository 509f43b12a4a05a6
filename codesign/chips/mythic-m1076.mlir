// Mythic M1076: 76 tiles that multiply in flash cells, each a fixed matrix of 1,024 by 1,024 analog weights. A weight takes
// part in a product as it stands; keys and values live in the same cells here, which flash would not bear.
chip.design @mythic_m1076 attributes {process = "40 nm", clock = "1 GHz", power = "4 W"}
    sources {
      process = "published: Mythic, 40 nm embedded flash",
      clock = "estimated: of the digital units, not told; the rate of the arrays is relative to it",
      power = "published: 3 to 4 W, Mythic M1076 product brief"
    } {
  chip.host @pcie {kind = "pcie", generation = 2, lanes = 4}
      sources {others = "published: Mythic M1076 product brief"}
  chip.link @pcie_links {kind = "PCIe 2 between chips", bandwidth = "2 GB/s", topology = "ring"}
      sources {bandwidth = "estimated: four lanes of PCIe 2"}
  chip.scheduler @program {kind = "static"}
  chip.core @tile count(76)
      sources {count = "published: Mythic M1076 product brief"} {
    chip.matmul @analog {
      lanes = 1024, width = 1024, dataflow = "weight_stationary", formats = ["int8"], rates = {int8 = 0.000157}
    } sources {
      rates = "published: 25 TOPS over 76 arrays, Mythic M1076 product brief; 26 TOPS elsewhere",
      others = "published: 80 million weights over 76 tiles"
    }
    chip.vector @simd {lanes = 16}
        sources {lanes = "estimated: not told; range 4 to 64"}
    chip.sram @flash {role = "shared", capacity = "1.05 MB", bandwidth = "165 GB/s"}
        sources {
          capacity = "published: 80 million weights of 8 bits over 76 tiles, Mythic M1076 product brief",
          bandwidth = "estimated: every weight once a product of the array"
        }
  }
}
