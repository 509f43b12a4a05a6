// OpenAI and Broadcom's accelerator, as rumoured: a systolic array with HBM on a 3 nm process. No figure is public; all are
// assumptions.
chip.design @titan attributes {process = "3 nm", clock = "1.5 GHz"}
    sources {
      process = "rumoured: TSMC N3 class, Reuters, 2025",
      clock = "estimated: assumption; range 1 to 2 GHz"
    } {
  chip.memory @hbm {kind = "hbm3e", capacity = "192 GB", bandwidth = "8 TB/s", channels = 8}
      sources {
        capacity = "estimated: assumption; range 144 to 288 GB",
        others = "estimated: assumption, eight stacks of HBM3E or HBM4",
        bandwidth = "estimated: assumption; range 4 to 16 TB/s"
      }
  chip.link @link {kind = "Ethernet", bandwidth = "600 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: assumption; range 100 to 1800 GB/s"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core {
    chip.matmul @array count(16) {
      lanes = 256, width = 256, dataflow = "weight_stationary", formats = ["fp8_e4m3", "int8", "bfloat16"],
      rates = {bfloat16 = 0.5}
    } sources {
      count = "estimated: assumption, 3.1 PFLOP/s in fp8; range 8 to 32",
      rates = "estimated: assumption, half as fast in 16 bits",
      others = "estimated: assumption, arrays as the TPU's"
    }
    chip.vector @vector {lanes = 16384}
        sources {lanes = "estimated: assumption; range 4096 to 65536"}
    chip.sram @buffer {role = "shared", capacity = "128 MB", width = 16384}
        sources {
          capacity = "estimated: assumption; range 64 to 256 MB",
          width = "estimated: assumption, an operand an array row and cycle"
        }
  }
}
