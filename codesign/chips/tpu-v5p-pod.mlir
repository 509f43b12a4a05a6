// Google TPU v5p pod: 8,960 chips in a torus of three dimensions.
chip.system @tpu_v5p_pod {
  chip.instance @chip count(8960) {design = @tpu_v5p}
      sources {count = "published: Google Cloud documentation, TPU v5p"}
  chip.link @ici {kind = "ICI", bandwidth = "600 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: Google Cloud documentation, TPU v5p, the ports of one chip, one direction"
      }
}
