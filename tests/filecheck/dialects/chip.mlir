// RUN: xdsl-opt %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | xdsl-opt | filecheck %s
// RUN: xdsl-opt --print-op-generic %s | filecheck %s --check-prefix=GENERIC

chip.design @everything attributes {process = "7 nm", clock = "1 GHz", voltage = "0.8 V", area = "20 mm2"}
    sources {process = "published: a foundry", others = "chosen: this file"} {
  chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
  chip.network @noc {topology = "mesh", bandwidth = "1 TB/s", latency = "2 ns"}
  chip.link @c2c {kind = "serial", bandwidth = "240 GB/s", ports = 16, latency = "500 ns", topology = "dragonfly"}
  chip.memory @dram {kind = "lpddr5x", capacity = "16 GiB", bandwidth = "68 GB/s", channels = 4}
      sources {bandwidth = "published: JEDEC JESD209-5C", others = "chosen: this file"}
  chip.sram @l2 {role = "cache", capacity = "4 MiB", bandwidth = "1 TB/s"}
  chip.calibration @fit {law = "a law", values = {overhead = 0.25}, fitted_on = "nothing", residual = 0.5}
  chip.core @core count(2) {
    chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, formats = ["int8", "ternary"], rates = {ternary = 2}, sparsity = "2:4"}
    chip.vector @vpu {lanes = 16}
    chip.attention @attn {queries = 8, keys = 32}
    chip.quantizer @quant {lanes = 32}
    chip.router @experts {lanes = 4}
    chip.dma @dma {width = 64}
    chip.sram @kv {role = "kv", capacity = "256 KiB", width = 256, banks = 8}
    chip.scheduler @control {microcode = 4096}
  }
}
chip.system @pair {
  chip.instance @chips count(2) {design = @everything}
  chip.link @wires {kind = "serial", bandwidth = "240 GB/s", topology = "point_to_point", instances = [@chips]}
}

// CHECK:       chip.design @everything attributes {process = "7 nm", clock = "1 GHz", voltage = "0.8 V", area = "20 mm2"}
// CHECK-NEXT:      sources {process = "published: a foundry", others = "chosen: this file"} {
// CHECK-NEXT:    chip.host @pcie {kind = "pcie", generation = 5, lanes = 16}
// CHECK-NEXT:    chip.network @noc {topology = "mesh", bandwidth = "1 TB/s", latency = "2 ns"}
// CHECK-NEXT:    chip.link @c2c {kind = "serial", bandwidth = "240 GB/s", ports = 16, latency = "500 ns", topology = "dragonfly"}
// CHECK-NEXT:    chip.memory @dram {kind = "lpddr5x", capacity = "16 GiB", bandwidth = "68 GB/s", channels = 4}
// CHECK-NEXT:        sources {bandwidth = "published: JEDEC JESD209-5C", others = "chosen: this file"}
// CHECK-NEXT:    chip.sram @l2 {role = "cache", capacity = "4 MiB", bandwidth = "1 TB/s"}
// CHECK-NEXT:    chip.calibration @fit {law = "a law", values = {overhead = 0.25}, fitted_on = "nothing", residual = 0.5}
// CHECK-NEXT:    chip.core @core count(2) {
// CHECK-NEXT:      chip.matmul @mxu {lanes = 32, width = 32, tokens = 8, formats = ["int8", "ternary"], rates = {ternary = 2}, sparsity = "2:4"}
// CHECK-NEXT:      chip.vector @vpu {lanes = 16}
// CHECK-NEXT:      chip.attention @attn {queries = 8, keys = 32}
// CHECK-NEXT:      chip.quantizer @quant {lanes = 32}
// CHECK-NEXT:      chip.router @experts {lanes = 4}
// CHECK-NEXT:      chip.dma @dma {width = 64}
// CHECK-NEXT:      chip.sram @kv {role = "kv", capacity = "256 KiB", width = 256, banks = 8}
// CHECK-NEXT:      chip.scheduler @control {microcode = 4096}
// CHECK:       chip.system @pair {
// CHECK-NEXT:    chip.instance @chips count(2) {design = @everything}
// CHECK-NEXT:    chip.link @wires {kind = "serial", bandwidth = "240 GB/s", topology = "point_to_point", instances = [@chips]}

// GENERIC: "chip.design"() <{sym_name = "everything", parameters = {process = "7 nm", clock = "1 GHz", voltage = "0.8 V", area = "20 mm2"}, sources = {process = "published: a foundry", others = "chosen: this file"}}> ({
// GENERIC: "chip.vector"() <{sym_name = "vpu", parameters = {lanes = 16 : i64}}> : () -> ()
// GENERIC: "chip.instance"() <{sym_name = "chips", parameters = {design = @everything}, count = 2 : i64}> : () -> ()
