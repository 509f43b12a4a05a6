// AMD Instinct MI300X: eight compute dies of 38 units on four base dies with a shared cache. No calibration of its own:
// it is priced with the losses of NVIDIA's Hopper, which is an assumption.
chip.design @mi300x attributes {
  process = "5 nm", clock = "2.1 GHz", power = "750 W", price = "15000 USD", family = "nvidia-hopper"
} sources {
  process = "published: AMD CDNA 3 whitepaper, 2023 (compute dies TSMC N5, base dies N6)",
  clock = "published: AMD Instinct MI300X datasheet, peak engine clock",
  power = "published: AMD Instinct MI300X datasheet",
  price = "estimated: siliconanalysts.com, selling price"
} {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
      sources {others = "published: AMD Instinct MI300X datasheet"}
  chip.memory @hbm {kind = "hbm3", capacity = "192 GB", bandwidth = "5.3 TB/s", channels = 8}
      sources {others = "published: AMD Instinct MI300X datasheet; eight stacks"}
  chip.link @fabric {kind = "Infinity Fabric", bandwidth = "448 GB/s", ports = 7, topology = "all_to_all"}
      sources {others = "published: AMD Instinct MI300X platform brief, seven links of 128 GB/s both directions together"}
  chip.sram @infinity {role = "cache", capacity = "256 MB", bandwidth = "17 TB/s"}
      sources {others = "published: AMD CDNA 3 whitepaper, 2023"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @cu count(304)
      sources {count = "published: AMD Instinct MI300X datasheet"} {
    chip.matmul @matrix count(4) {
      lanes = 16, width = 16, dataflow = "tiled", sparsity = "2:4",
      formats = ["bfloat16", "float16", "fp8_e4m3", "fp8_e5m2", "int8"],
      rates = {fp8_e4m3 = 2, fp8_e5m2 = 2, int8 = 2}
    } sources {
      rates = "published: AMD Instinct MI300X datasheet, 2,614.9 dense TFLOP/s in fp8, twice bfloat16",
      others = "published: AMD CDNA 3 whitepaper, 2,048 dense float16 operations a unit and cycle; the split is notional"
    }
    chip.vector @simd {lanes = 128, formats = ["float32", "float16"]}
        sources {others = "published: AMD CDNA 3 whitepaper, 256 float32 operations a unit and cycle"}
    chip.sram @lds {role = "shared", capacity = "64 KiB", width = 128, banks = 32}
        sources {others = "published: AMD CDNA 3 whitepaper, 64 KB local data share of 128 bytes a cycle"}
  }
}
