// Etched Sohu, as rumoured: transformers only, announced and not measured by anybody. Nearly every figure here is an
// assumption with a range; only process, memory capacity and the number of chips in a server were told.
chip.design @sohu attributes {process = "4 nm", clock = "1.5 GHz"}
    sources {
      process = "press: TSMC 4 nm, Etched announcement, 2024-06",
      clock = "estimated: assumption; range 1 to 2 GHz"
    } {
  chip.memory @hbm {kind = "hbm3e", capacity = "144 GB", bandwidth = "4.8 TB/s", channels = 6}
      sources {
        capacity = "rumoured: 144 GB of HBM3E",
        bandwidth = "estimated: assumption, six stacks as fast as the H200's; range 4 to 7.2 TB/s",
        others = "estimated: assumption, six stacks"
      }
  chip.link @link {kind = "unknown", bandwidth = "450 GB/s", topology = "all_to_all"}
      sources {bandwidth = "estimated: assumption, as the H100's; range 100 to 900 GB/s"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @core {
    chip.matmul @array count(16) {
      lanes = 256, width = 256, dataflow = "weight_stationary", formats = ["fp8_e4m3", "int8", "bfloat16"],
      rates = {bfloat16 = 0.5}
    } sources {
      rates = "estimated: assumption, half as fast in 16 bits",
      count = "estimated: assumption, 3.1 PFLOP/s in fp8 on a die at the reticle limit; range 10 to 40",
      others = "estimated: assumption, arrays as the TPU's"
    }
    chip.vector @vector {lanes = 16384}
        sources {lanes = "estimated: assumption; range 4096 to 65536"}
    chip.sram @buffer {role = "shared", capacity = "64 MB", width = 16384}
        sources {
          capacity = "estimated: assumption, room for the activations of a batch; range 32 to 256 MB",
          width = "estimated: assumption, an operand an array row and cycle"
        }
  }
}
