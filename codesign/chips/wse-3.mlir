// Cerebras WSE-3 in a CS-3: one wafer of 900,000 cores; weights in SRAM beside them, layers laid out over the wafer.
chip.design @wse_3 attributes {
  process = "5 nm", clock = "1.1 GHz", area = "46225 mm2", power = "23000 W", idle_power = "18400 W",
  price = "2500000 USD", family = "cerebras-wse"
} sources {
  process = "published: TSMC N5, Cerebras WSE-3 announcement, 2024-03",
  clock = "estimated: not published; nextplatform.com, 2024-03-14, supposes about 5 % above the WSE-2",
  area = "published: 46,225 mm2, Cerebras WSE-3 announcement, 2024-03",
  power = "press: about 23 kW, the whole system; range 15 to 23 kW",
  idle_power = "measured: 80 % of the design power, xPU-athalon, arXiv 2604.10852",
  price = "rumoured: 2 to 3 million USD a system"
} {
  chip.link @swarmx {kind = "SwarmX Ethernet", bandwidth = "150 GB/s", topology = "all_to_all"}
      sources {bandwidth = "press: 125 to 150 GB/s off the wafer"}
  chip.network @fabric {topology = "mesh", bandwidth = "26.75 PB/s"}
      sources {bandwidth = "published: 214 Pb/s, Cerebras WSE-3 announcement, 2024-03"}
  chip.scheduler @dataflow {kind = "static"}
  chip.core @pe count(900000)
      sources {count = "published: Cerebras WSE-3 announcement, 2024-03"} {
    chip.matmul @simd {lanes = 8, width = 1, dataflow = "tiled", formats = ["float16", "bfloat16"]}
        sources {others = "press: an eight-wide float16 unit a core, nextplatform.com, 2024-03-14; 15.8 dense PFLOP/s follow from it and the clock"}
    chip.vector @vector {lanes = 8, formats = ["float16", "float32"]}
        sources {lanes = "press: the same unit, nextplatform.com, 2024-03-14"}
    chip.sram @local {role = "shared", capacity = "48.88 kB", bandwidth = "23.3 GB/s"}
        sources {others = "published: 44 GB and 21 PB/s over all cores, Cerebras WSE-3 announcement, 2024-03"}
  }
}
