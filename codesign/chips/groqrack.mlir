// GroqRack: nine nodes of eight GroqChip1, one of them spare; 64 chips compute.
chip.system @groqrack {
  chip.instance @lpu count(64) {design = @groq_lpu}
      sources {count = "press: 72 chips a rack, eight of them spare"}
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "240 GB/s", ports = 16, topology = "dragonfly"}
      sources {others = "published: Abts et al., A Software-defined Tensor Streaming Multiprocessor, ISCA 2022: dragonfly; 16 links of 4 lanes at 30 Gb/s"}
}
