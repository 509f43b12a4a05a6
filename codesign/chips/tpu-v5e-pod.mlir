// Google TPU v5e pod: 256 chips in a torus of 16 by 16.
chip.system @tpu_v5e_pod {
  chip.instance @chip count(256) {design = @tpu_v5e}
      sources {count = "published: Google Cloud documentation, TPU v5e"}
  chip.link @ici {kind = "ICI", bandwidth = "200 GB/s", ports = 4, topology = "torus", latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: Google Cloud documentation, TPU v5e, the ports of one chip, one direction"
      }
}
