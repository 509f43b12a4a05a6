// NVIDIA GB200 NVL72: 72 B200 of 1,200 W in one NVLink domain, with 36 Grace processors.
chip.system @gb200_nvl72 attributes {power = "120 kW"}
    sources {power = "press: about 120 kW a rack"} {
  chip.instance @gpu count(72) {design = @b200_1200w}
      sources {count = "published: NVIDIA GB200 NVL72 datasheet"}
  chip.link @nvswitch {kind = "NVLink 5 through NVSwitch", bandwidth = "900 GB/s", ports = 18, topology = "all_to_all", chips = 72}
      sources {others = "published: NVIDIA GB200 NVL72 datasheet, 1.8 TB/s both directions together for each chip"}
}
