// GroqChip1, the first LPU: no memory beside its SRAM; the compiler fixes every cycle of every chip of a rack.
chip.design @groq_lpu attributes {
  process = "14 nm", clock = "0.9 GHz", area = "725 mm2", power = "300 W", price = "20000 USD",
  family = "groq-tsp"
} sources {
  process = "press: GlobalFoundries 14 nm, techpowerup.com chip database",
  clock = "estimated: 750 TOPS over 4 planes of 320 by 320 multiply-adds is 0.916 GHz; 0.9 GHz is quoted as nominal",
  area = "press: 725 mm2 on GlobalFoundries 14 nm, artificial-intelligence-wiki.com, Groq vs NVIDIA",
  power = "press: 300 W, techspot.com/news/83719",
  price = "rumoured: list price of a card in 2023"
} {
  chip.host @pcie {kind = "pcie", generation = 4, lanes = 16}
      sources {others = "press: Linley Group newsletter, 2020-11-10"}
  chip.link @c2c {kind = "Groq chip-to-chip", bandwidth = "240 GB/s", ports = 16, topology = "dragonfly"}
      sources {others = "press: Linley Group newsletter, 2020-11-10: 16 links of 4 lanes at 30 Gb/s, 480 GB/s both directions"}
  chip.core @core {
    chip.matmul @mxm count(4) {
      lanes = 320, width = 320, dataflow = "weight_stationary", formats = ["int8", "float16"], rates = {float16 = 0.25}
    } sources {
      rates = "published: 188 TFLOP/s in float16 against 750 TOPS in int8, Groq product brief",
      others = "press: 320 by 320 planes, techpowerup.com chip database; four of them give 750 TOPS"
    }
    chip.vector @vxm {lanes = 5120}
        sources {lanes = "published: Abts et al., Think Fast, ISCA 2020: 16 arithmetic units in each of 320 lanes"}
    chip.sram @mem {role = "shared", capacity = "230 MB", bandwidth = "80 TB/s"}
        sources {others = "press: 230 MB and 80 TB/s, techpowerup.com chip database; 220 MB in nextplatform.com, 2020-09-29"}
    chip.scheduler @icu {kind = "static"}
  }
}
