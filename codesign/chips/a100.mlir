// NVIDIA A100 SXM4, 80 GB: 108 streaming multiprocessors of four tensor cores each.
chip.design @a100 attributes {
  process = "7 nm", clock = "1.41 GHz", area = "826 mm2", power = "400 W", family = "nvidia-ampere"
} sources {
  process = "published: NVIDIA A100 Tensor Core GPU Architecture whitepaper, 2020 (TSMC N7)",
  clock = "published: NVIDIA A100 whitepaper, boost clock, at which its tensor rates hold (312 TFLOP/s in bfloat16)",
  area = "published: NVIDIA A100 whitepaper, 2020",
  power = "published: NVIDIA A100 datasheet, SXM4"
} {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 16}
      sources {others = "published: NVIDIA A100 datasheet, SXM4"}
  chip.memory @hbm {kind = "hbm2e", capacity = "80 GB", bandwidth = "2.039 TB/s", channels = 5}
      sources {others = "published: NVIDIA A100 datasheet, SXM4; five stacks"}
  chip.link @nvlink {kind = "NVLink 3", bandwidth = "300 GB/s", ports = 12, topology = "all_to_all"}
      sources {others = "published: NVIDIA A100 datasheet, 600 GB/s both directions together, through NVSwitch"}
  chip.sram @l2 {role = "cache", capacity = "40 MB", width = 5120}
      sources {others = "published: NVIDIA A100 whitepaper, 2020, 5,120 bytes a cycle"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @sm count(108)
      sources {count = "published: NVIDIA A100 datasheet, SXM4"} {
    chip.matmul @tensor count(4) {
      lanes = 16, width = 16, dataflow = "tiled", sparsity = "2:4",
      formats = ["bfloat16", "float16", "int8", "int4"],
      rates = {int8 = 2, int4 = 4}
    } sources {
      rates = "published: NVIDIA A100 datasheet, 624 and 1,248 dense TOPS in int8 and int4, 312 in bfloat16",
      others = "published: NVIDIA A100 whitepaper, 256 multiply-adds a tensor core and cycle in float16; the split into lanes and width is notional"
    }
    chip.vector @cuda {lanes = 64, formats = ["float32", "float16", "bfloat16"]}
        sources {others = "published: NVIDIA A100 whitepaper, 64 float32 cores a multiprocessor"}
    chip.sram @shared {role = "shared", capacity = "164 KiB", width = 128, banks = 32}
        sources {
          capacity = "published: NVIDIA A100 whitepaper, 164 KB a multiprocessor",
          others = "published: NVIDIA CUDA C++ Programming Guide, 32 banks of 4 bytes a cycle"
        }
  }
}
