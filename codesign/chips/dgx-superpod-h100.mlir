// NVIDIA DGX SuperPOD of H100, one scalable unit: 32 DGX H100, between them InfiniBand with a port for each chip.
chip.system @dgx_superpod_h100 attributes {power = "326400 W"}
    sources {power = "estimated: 32 times the largest power of a DGX H100, without the switches between them"} {
  chip.instance @gpu count(256) {design = @h100}
      sources {count = "published: NVIDIA DGX SuperPOD H100 reference architecture, 32 DGX H100 a scalable unit"}
  chip.link @nvswitch {kind = "NVLink 4 through NVSwitch", bandwidth = "450 GB/s", ports = 18, topology = "all_to_all", chips = 8}
      sources {others = "published: NVIDIA DGX H100 datasheet, 900 GB/s both directions together for each chip"}
  chip.link @infiniband {kind = "InfiniBand NDR", bandwidth = "50 GB/s", topology = "tree", latency = "2 us"}
      sources {
        latency = "estimated: adapters and two to three switches; range 1 to 5 us",
        others = "published: NVIDIA DGX H100 datasheet, eight ConnectX-7 ports of 400 Gb/s; fat tree, DGX SuperPOD reference architecture"
      }
}
