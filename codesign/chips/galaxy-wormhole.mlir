// Tenstorrent Galaxy of the first kind: 32 Wormhole in a torus.
chip.system @galaxy_wormhole {
  chip.instance @chip count(32) {design = @wormhole}
      sources {count = "published: Tenstorrent documentation, Galaxy"}
  chip.link @ethernet {kind = "Ethernet", bandwidth = "200 GB/s", ports = 16, topology = "torus"}
      sources {others = "press: sixteen links of 100 Gb/s a chip"}
}
