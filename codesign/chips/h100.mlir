// NVIDIA H100 SXM5, 80 GB: 132 streaming multiprocessors of four tensor cores each.
chip.design @h100 attributes {
  process = "4 nm", clock = "1.83 GHz", area = "814 mm2", power = "700 W", price = "28000 USD",
  family = "nvidia-hopper"
} sources {
  process = "published: NVIDIA H100 Tensor Core GPU Architecture whitepaper, 2022 (TSMC 4N)",
  clock = "published: NVIDIA H100 datasheet, the clock at which its tensor rates hold (989.4 TFLOP/s in bfloat16)",
  area = "published: NVIDIA H100 Tensor Core GPU Architecture whitepaper, 2022",
  power = "published: NVIDIA H100 datasheet, SXM5",
  price = "estimated: siliconanalysts.com, H100 cost bridge (selling price)"
} {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
      sources {others = "published: NVIDIA H100 datasheet, SXM5"}
  chip.memory @hbm {kind = "hbm3", capacity = "80 GB", bandwidth = "3.35 TB/s", channels = 5}
      sources {others = "published: NVIDIA H100 datasheet, SXM5; five stacks"}
  chip.link @nvlink {kind = "NVLink 4", bandwidth = "450 GB/s", ports = 18, topology = "all_to_all"}
      sources {others = "published: NVIDIA H100 datasheet, 900 GB/s both directions together, through NVSwitch"}
  chip.sram @l2 {role = "cache", capacity = "50 MB", width = 5120}
      sources {
        capacity = "published: NVIDIA H100 Tensor Core GPU Architecture whitepaper, 2022",
        width = "estimated: the 5,120 bytes a cycle of the A100, NVIDIA A100 whitepaper, 2020"
      }
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @sm count(132)
      sources {count = "published: NVIDIA H100 datasheet, SXM5"} {
    chip.matmul @tensor count(4) {
      lanes = 32, width = 16, dataflow = "tiled", sparsity = "2:4",
      formats = ["bfloat16", "float16", "fp8_e4m3", "fp8_e5m2", "int8"],
      rates = {fp8_e4m3 = 2, fp8_e5m2 = 2, int8 = 2}
    } sources {
      rates = "published: NVIDIA H100 datasheet, 1,978.9 dense TFLOP/s in fp8, twice bfloat16",
      others = "published: NVIDIA H100 whitepaper, 512 multiply-adds a tensor core and cycle in float16; the split into lanes and width is notional"
    }
    chip.vector @cuda {lanes = 128, formats = ["float32", "float16", "bfloat16"]}
        sources {others = "published: NVIDIA H100 Tensor Core GPU Architecture whitepaper, 2022"}
    chip.sram @shared {role = "shared", capacity = "228 KiB", width = 128, banks = 32}
        sources {
          capacity = "published: NVIDIA H100 Tensor Core GPU Architecture whitepaper, 2022",
          others = "published: NVIDIA CUDA C++ Programming Guide, 32 banks of 4 bytes a cycle"
        }
  }
}
