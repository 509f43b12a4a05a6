// A small decoder chip of this project: int8 weights streamed from LPDDR5X through one dot-product engine.
// Figures marked `chosen` are the design itself; area and power are left to the cost model's estimates.
chip.design @edge attributes {process = "7 nm", clock = "1 GHz", voltage = "0.75 V"}
    sources {others = "chosen: this project"} {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 4}
      sources {others = "chosen: this project"}
  chip.memory @dram {kind = "lpddr5x", capacity = "16 GiB", bandwidth = "68 GB/s", channels = 4, latency = "100 ns"}
      sources {
        bandwidth = "published: JEDEC JESD209-5C, 8533 MT/s on 64 bits, rounded down",
        latency = "estimated: row miss and controller of an LPDDR5X system",
        others = "chosen: this project"
      }
  chip.core @core {
    chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, formats = ["int8", "int4", "ternary"], sparsity = "2:4"}
        sources {others = "chosen: this project"}
    chip.vector @vpu {lanes = 16}
        sources {others = "chosen: this project"}
    chip.attention @attn {queries = 8, keys = 32}
        sources {others = "chosen: this project"}
    chip.quantizer @quant {lanes = 32}
        sources {others = "chosen: this project"}
    // 64 bytes a cycle at 1 GHz is what the memory's 68 GB/s can keep busy.
    chip.dma @dma {width = 64}
        sources {others = "chosen: this project"}
    // One weight word a cycle, lanes times width bytes.
    chip.sram @weights {role = "weights", capacity = "2 MiB", width = 1024, banks = 32}
        sources {others = "chosen: this project"}
    chip.sram @activations {role = "activations", capacity = "512 KiB", width = 128, banks = 4}
        sources {others = "chosen: this project"}
    chip.sram @weight_scales {role = "weight_scales", capacity = "16 KiB", width = 16}
        sources {others = "chosen: this project"}
    chip.sram @activation_scales {role = "activation_scales", capacity = "1 KiB", width = 4}
        sources {others = "chosen: this project"}
    chip.sram @results {role = "results", capacity = "256 KiB", width = 128, banks = 4}
        sources {others = "chosen: this project"}
    chip.sram @kv {role = "kv", capacity = "256 KiB", width = 256, banks = 8}
        sources {others = "chosen: this project"}
    chip.scheduler @control {kind = "microcode", microcode = 4096}
        sources {others = "chosen: this project"}
  }
}
