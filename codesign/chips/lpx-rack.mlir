// NVIDIA LPX: a rack of 256 Groq 3 LPUs in trays of eight.
chip.system @lpx_rack {
  chip.instance @lpu count(256) {design = @groq_lp30}
      sources {count = "press: 128 GB of SRAM a rack of 500 MB each, NVIDIA GTC 2026"}
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "1.25 TB/s", topology = "dragonfly"}
      sources {bandwidth = "press: 640 TB/s a rack, taken as both directions together"}
}
