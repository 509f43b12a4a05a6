"""The Verilog emitter: an RTL library, a structural top built from the chip's IR, images, testbench, simulators."""
