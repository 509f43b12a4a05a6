// NVIDIA DGX H100: eight H100 SXM5 behind NVSwitch, with two processors, network and fans.
chip.system @dgx_h100 attributes {power = "10200 W"}
    sources {power = "published: NVIDIA DGX H100 datasheet, largest system power"} {
  chip.instance @gpu count(8) {design = @h100}
      sources {count = "published: NVIDIA DGX H100 datasheet"}
  chip.link @nvswitch {kind = "NVLink 4 through NVSwitch", bandwidth = "450 GB/s", ports = 18, topology = "all_to_all", chips = 8}
      sources {others = "published: NVIDIA DGX H100 datasheet, 900 GB/s both directions together for each chip"}
}
