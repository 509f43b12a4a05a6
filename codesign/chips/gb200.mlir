// NVIDIA GB200: two B200 of 1,200 W with a Grace processor.
chip.system @gb200 {
  chip.instance @gpu count(2) {design = @b200_1200w}
      sources {count = "published: NVIDIA GB200 NVL72 datasheet"}
  chip.link @nvlink {kind = "NVLink 5", bandwidth = "900 GB/s", ports = 18, topology = "all_to_all"}
      sources {others = "published: NVIDIA GB200 NVL72 datasheet, 1.8 TB/s both directions together for each chip"}
}
