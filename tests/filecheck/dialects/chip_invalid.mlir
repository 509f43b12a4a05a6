// RUN: xdsl-opt %s --split-input-file --parsing-diagnostics --verify-diagnostics | filecheck %s

chip.design @small attributes {process = "7 nm", clock = "1 GHz"} {
  chip.core @core {
    chip.matmul @mxu {lane = 32, width = 32, formats = ["int8"]}
  }
}
// CHECK: chip.matmul @mxu: unknown parameter 'lane'. Did you mean lanes?

// -----

chip.design @small attributes {process = "7 nm", clock = "1 GHz"} {
  chip.memory @dram {kind = "lpddr5x", capacity = 16, bandwidth = "68 GB/s"}
}
// CHECK: chip.memory @dram: capacity: 16 has no unit; a capacity is written like "16 GiB"

// -----

chip.design @small attributes {process = "7 nm", clock = "1 GHz"} {
  chip.matmul @mxu {lanes = 32, width = 32, formats = ["int8"]}
}
// CHECK: chip.matmul @mxu belongs in chip.core, not in chip.design

// -----

chip.design @small attributes {process = "7 nm", clock = "1 GHz"} {
  chip.core @same {
    chip.vector @same {lanes = 8}
  }
}
// CHECK: chip.core @same: two parts are called @same: chip.core and chip.vector

// -----

chip.system @server {
  chip.instance @gpu count(8) {design = @absent}
}
// CHECK: chip.instance @gpu: no design @absent.
