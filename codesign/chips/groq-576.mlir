// 576 GroqChip1 in nine racks of 64, as Llama-2-70B was served in 2024.
chip.system @groq_576 {
  chip.instance @lpu count(576) {design = @groq_lpu}
      sources {count = "press: 576 chips for Llama-2-70B, artificial-intelligence-wiki.com, Groq vs NVIDIA"}
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "240 GB/s", ports = 16, topology = "dragonfly"}
      sources {others = "published: Abts et al., A Software-defined Tensor Streaming Multiprocessor, ISCA 2022: dragonfly; 16 links of 4 lanes at 30 Gb/s"}
}
