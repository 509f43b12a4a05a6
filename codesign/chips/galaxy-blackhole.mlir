// Tenstorrent Galaxy of 32 Blackhole in a torus.
chip.system @galaxy_blackhole attributes {price = "110000 USD"}
    sources {price = "press: from 110,000 USD, frontiernews.ai, 2026-04"} {
  chip.instance @chip count(32) {design = @blackhole}
      sources {count = "press: frontiernews.ai, 2026-04"}
  chip.link @ethernet {kind = "Ethernet", bandwidth = "400 GB/s", ports = 4, topology = "torus"}
      sources {others = "published: four ports of 800 Gb/s a chip, Tenstorrent documentation, Blackhole specifications"}
}
