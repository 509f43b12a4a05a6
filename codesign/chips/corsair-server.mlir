// A server of eight d-Matrix Corsair cards.
chip.system @corsair_server {
  chip.instance @card count(8) {design = @corsair}
      sources {count = "published: d-Matrix at Hot Chips 2025"}
  chip.link @pcie_links {kind = "PCIe 5 between cards", bandwidth = "63 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: sixteen lanes of PCIe 5"}
}
