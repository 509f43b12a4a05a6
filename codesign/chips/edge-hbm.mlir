// The edge chip of this project behind a stack of HBM: a port as wide as a weight word keeps its engine busy.
// Figures marked `chosen` are the design itself; area and power are left to the cost model's estimates.
chip.design @edge_hbm attributes {process = "7 nm", clock = "1 GHz", voltage = "0.75 V"}
    sources {others = "chosen: this project"} {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 4}
      sources {others = "chosen: this project"}
  chip.memory @hbm {kind = "hbm3e", capacity = "24 GiB", bandwidth = "1177 GB/s", channels = 8, latency = "100 ns", refresh_interval = "3900 ns", refresh_time = "350 ns"}
      sources {
        capacity = "estimated: a stack of eight 24 Gb dies",
        bandwidth = "estimated: 9.2 Gb/s on the 1024 pins of one HBM3E stack, rounded down",
        latency = "estimated: row miss and controller of an HBM system",
        refresh_interval = "estimated: tREFI of DRAM below 85 degrees, 32 ms over 8192 refreshes",
        refresh_time = "estimated: all-bank tRFC of a 24 Gb die; refresh bank by bank would hide most of it",
        others = "chosen: this project"
      }
  chip.core @core {
    chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, results = 32, formats = ["int8", "int4", "ternary"], sparsity = "2:4"}
        sources {others = "chosen: this project"}
    chip.vector @vpu {lanes = 32}
        sources {others = "chosen: this project"}
    chip.quantizer @quant {lanes = 32}
        sources {others = "chosen: this project"}
    // A weight word a cycle, 128 bytes on each of eight channels.
    chip.dma @dma {width = 1024}
        sources {others = "chosen: this project"}
    // One weight word a cycle, lanes times width bytes.
    chip.sram @weights {role = "weights", capacity = "2 MiB", width = 1024, banks = 32}
        sources {others = "chosen: this project"}
    chip.sram @weight_scales {role = "weight_scales", capacity = "32 KiB", width = 128}
        sources {others = "chosen: this project"}
    // Norm weights of all layers, and the embedding and rotary rows of the tokens at work.
    chip.sram @constants {role = "constants", capacity = "256 KiB", width = 128, ports = 2}
        sources {others = "chosen: this project"}
    chip.sram @activations {role = "activations", capacity = "64 KiB", width = 32}
        sources {others = "chosen: this project"}
    chip.sram @activation_scales {role = "activation_scales", capacity = "1 KiB", width = 4}
        sources {others = "chosen: this project"}
    // Keys and values of all layers: 256 positions of a model with 12 KiB each.
    chip.sram @kv {role = "kv", capacity = "4 MiB", width = 1024, banks = 32}
        sources {others = "chosen: this project"}
    chip.sram @key_scales {role = "key_scales", capacity = "128 KiB", width = 128}
        sources {others = "chosen: this project"}
    chip.sram @value_scales {role = "value_scales", capacity = "128 KiB", width = 128}
        sources {others = "chosen: this project"}
    chip.sram @results {role = "results", capacity = "256 KiB", width = 128}
        sources {others = "chosen: this project"}
    chip.sram @vector {role = "vector", capacity = "256 KiB", width = 128, ports = 2}
        sources {others = "chosen: this project"}
    chip.scheduler @control {kind = "microcode", microcode = 4096, context = 256}
        sources {others = "chosen: this project"}
  }
}
