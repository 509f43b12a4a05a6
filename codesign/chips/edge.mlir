// A small decoder chip of this project: int8 weights streamed from LPDDR5X through one dot-product engine.
// Figures marked `chosen` are the design itself; area and power are left to the cost model's estimates.
chip.design @edge attributes {process = "7 nm", clock = "1 GHz", voltage = "0.75 V"}
    sources {others = "chosen: this project"} {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 4}
      sources {others = "chosen: this project"}
  chip.memory @dram {kind = "lpddr5x", capacity = "16 GiB", bandwidth = "68 GB/s", channels = 4, latency = "100 ns", refresh_interval = "3906 ns", refresh_time = "280 ns"}
      sources {
        bandwidth = "published: JEDEC JESD209-5C, 8533 MT/s on 64 bits, rounded down",
        latency = "estimated: row miss and controller of an LPDDR5X system",
        refresh_interval = "estimated: tREFI of LPDDR5 below 85 degrees, 32 ms over 8192 refreshes",
        refresh_time = "estimated: all-bank tRFC of a 16 Gb LPDDR5 die; refresh bank by bank would hide most of it",
        others = "chosen: this project"
      }
  chip.core @core {
    chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, results = 16, formats = ["int8", "int4", "ternary"], sparsity = "2:4"}
        sources {others = "chosen: this project"}
    chip.vector @vpu {lanes = 16}
        sources {others = "chosen: this project"}
    chip.quantizer @quant {lanes = 16}
        sources {others = "chosen: this project"}
    // 64 bytes a cycle at 1 GHz is what the memory's 68 GB/s can keep busy.
    chip.dma @dma {width = 64}
        sources {others = "chosen: this project"}
    // One weight word a cycle, lanes times width bytes.
    chip.sram @weights {role = "weights", capacity = "2 MiB", width = 1024, banks = 32}
        sources {others = "chosen: this project"}
    chip.sram @weight_scales {role = "weight_scales", capacity = "32 KiB", width = 64}
        sources {others = "chosen: this project"}
    // Norm weights of all layers, and the embedding and rotary rows of the tokens at work.
    chip.sram @constants {role = "constants", capacity = "256 KiB", width = 64, ports = 2}
        sources {others = "chosen: this project"}
    chip.sram @activations {role = "activations", capacity = "64 KiB", width = 32}
        sources {others = "chosen: this project"}
    chip.sram @activation_scales {role = "activation_scales", capacity = "1 KiB", width = 4}
        sources {others = "chosen: this project"}
    // Keys and values of all layers: 256 positions of a model with 12 KiB each.
    chip.sram @kv {role = "kv", capacity = "4 MiB", width = 1024, banks = 32}
        sources {others = "chosen: this project"}
    chip.sram @key_scales {role = "key_scales", capacity = "128 KiB", width = 64}
        sources {others = "chosen: this project"}
    chip.sram @value_scales {role = "value_scales", capacity = "128 KiB", width = 64}
        sources {others = "chosen: this project"}
    chip.sram @results {role = "results", capacity = "256 KiB", width = 64}
        sources {others = "chosen: this project"}
    chip.sram @vector {role = "vector", capacity = "256 KiB", width = 64, ports = 2}
        sources {others = "chosen: this project"}
    chip.scheduler @control {kind = "microcode", microcode = 4096, context = 256}
        sources {others = "chosen: this project"}
  }
}
