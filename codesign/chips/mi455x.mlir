// AMD Instinct MI455X, announced for 2026. Its 40 PFLOP/s in fp4 are taken as sparse, the figures of a rack being 20 dense a
// chip. No calibration of its own: it is priced with the losses of NVIDIA's Hopper, which is an assumption.
chip.design @mi455x attributes {process = "2 nm", clock = "2.4 GHz", family = "nvidia-hopper"}
    sources {
      process = "published: TSMC N2 compute dies, AMD at CES 2026",
      clock = "estimated: only the product with the number of units is told"
    } {
  chip.memory @hbm {kind = "hbm4", capacity = "432 GB", bandwidth = "19.6 TB/s", channels = 12}
      sources {others = "published: AMD at CES 2026; twelve stacks"}
  chip.link @ualink {kind = "UALink", bandwidth = "1.8 TB/s", topology = "all_to_all"}
      sources {bandwidth = "published: 3.6 TB/s both directions together, AMD at CES 2026"}
  chip.scheduler @dispatch {kind = "kernels"}
  chip.core @cu count(256)
      sources {count = "estimated: 10 PFLOP/s in fp8 if the figure told is of sparse products, else twice; range 256 to 512"} {
    chip.matmul @matrix count(4) {
      lanes = 32, width = 32, dataflow = "tiled",
      formats = ["bfloat16", "float16", "fp8_e4m3", "fp4_e2m1"], rates = {fp8_e4m3 = 2, fp4_e2m1 = 4}
    } sources {
      rates = "published: 20 PFLOP/s in fp8, 40 in fp4, AMD at CES 2026",
      others = "estimated: the split is notional"
    }
    chip.vector @simd {lanes = 128, formats = ["float32", "float16"]}
        sources {lanes = "estimated: as the MI300X"}
    chip.sram @lds {role = "shared", capacity = "160 KiB", width = 128}
        sources {others = "estimated: as the MI355X"}
  }
}
