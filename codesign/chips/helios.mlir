// AMD Helios: a rack of 72 MI455X in one domain.
chip.system @helios {
  chip.instance @gpu count(72) {design = @mi455x}
      sources {count = "published: AMD at CES 2026"}
  chip.link @ualink {kind = "UALink", bandwidth = "1.8 TB/s", topology = "all_to_all"}
      sources {bandwidth = "published: 260 TB/s a rack both directions together, AMD at CES 2026"}
}
