// Google TPU v7: a cube of 64 chips, from which pods of 9,216 are made.
chip.system @tpu_v7_cube {
  chip.instance @chip count(64) {design = @tpu_v7}
      sources {count = "published: Google Cloud documentation, TPU7x"}
  chip.link @ici {kind = "ICI", bandwidth = "600 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: Google Cloud documentation, TPU7x, the ports of one chip, one direction"
      }
}
