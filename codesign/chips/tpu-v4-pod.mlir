// Google TPU v4 pod: 4,096 chips in a torus of three dimensions.
chip.system @tpu_v4_pod {
  chip.instance @chip count(4096) {design = @tpu_v4}
      sources {count = "published: Jouppi et al., TPU v4, ISCA 2023"}
  chip.link @ici {kind = "ICI", bandwidth = "270 GB/s", ports = 6, topology = "torus", dimensions = 3, latency = "1 us"}
      sources {
        latency = "estimated: about 1 us a hop, three hops measured at 8 us, Austin et al., How to Scale Your Model, 2025, part 3; range 1 to 2.7 us",
        others = "published: Jouppi et al., TPU v4, ISCA 2023, the ports of one chip, one direction"
      }
}
