// NVIDIA B200: two dies in one package, on an eight-chip baseboard at 1,000 W.
chip.design @b200 attributes {
  process = "4 nm", clock = "1.856 GHz", area = "1620 mm2", power = "1000 W", price = "40000 USD", family = "nvidia-hopper"
} sources {
  process = "published: NVIDIA Blackwell architecture brief, 2024 (TSMC 4NP)",
  clock = "estimated: 2,250 dense TFLOP/s in bfloat16 over 148 multiprocessors of 4,096 multiply-adds a cycle",
  area = "press: two dies of about 810 mm2, hmc-tech.com",
  power = "published: NVIDIA B200 datasheet, HGX, 1,000 W",
  price = "estimated: siliconanalysts.com, average selling price"
} {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
      sources {others = "published: NVIDIA B200 datasheet"}
  chip.memory @hbm {kind = "hbm3e", capacity = "180 GB", bandwidth = "8 TB/s", channels = 8}
      sources {capacity = "press: usable of the 192 GB fitted, in many products", others = "published: NVIDIA B200 datasheet; eight stacks"}
  chip.link @nvlink {kind = "NVLink 5", bandwidth = "900 GB/s", ports = 18, topology = "all_to_all"}
      sources {others = "published: NVIDIA B200 datasheet, 1,800 GB/s both directions together, through NVSwitch"}
  chip.sram @l2 {role = "cache", capacity = "126 MB", width = 10240}
      sources {
        capacity = "press: 126 MB; other reports say 65 or 96 MB",
        width = "estimated: twice the 5,120 bytes a cycle of the A100, one share for each die"
      }
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @sm count(148)
      sources {count = "press: 148 enabled multiprocessors of the B200"} {
    chip.matmul @tensor count(4) {
      lanes = 32, width = 32, dataflow = "tiled", sparsity = "2:4",
      formats = ["bfloat16", "float16", "fp8_e4m3", "fp8_e5m2", "int8", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1"],
      rates = {fp8_e4m3 = 2, fp8_e5m2 = 2, int8 = 2, fp6_e2m3 = 2, fp6_e3m2 = 2, fp4_e2m1 = 4}
    } sources {
      rates = "published: NVIDIA B200 datasheet, dense: fp8, fp6 and int8 twice, fp4 four times bfloat16",
      others = "estimated: 1,024 multiply-adds a tensor core and cycle in float16, twice the H100's; the split into lanes and width is notional"
    }
    chip.vector @cuda {lanes = 128, formats = ["float32", "float16", "bfloat16"]}
        sources {others = "published: 128 float32 cores a multiprocessor, 80 TFLOP/s in float32, NVIDIA B200 datasheet"}
    chip.sram @shared {role = "shared", capacity = "228 KiB", width = 128, banks = 32}
        sources {others = "published: NVIDIA CUDA C++ Programming Guide, compute capability 10.0"}
  }
}
