// AWS Trainium2: eight NeuronCores of the third version.
chip.design @trainium2 attributes {process = "5 nm", clock = "2.544 GHz", power = "500 W"}
    sources {
      process = "estimated: TSMC 5 nm, not confirmed by AWS; range 5 to 4 nm",
      clock = "estimated: 667 TFLOP/s over eight arrays of 128 by 128; 2.4 GHz is documented",
      power = "estimated: reported, not published"
    } {
  chip.memory @hbm {kind = "hbm3", capacity = "96 GiB", bandwidth = "2.9 TB/s", channels = 4}
      sources {others = "published: AWS Neuron documentation, Trainium2; 3 TB/s on another page; the generation of HBM is not stated"}
  chip.link @neuronlink {kind = "NeuronLink-v3", bandwidth = "640 GB/s", topology = "torus"}
      sources {bandwidth = "published: 1.28 TB/s a chip, both directions together, AWS Neuron documentation, Trainium2"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @neuroncore count(8)
      sources {count = "published: AWS Neuron documentation, Trainium2"} {
    chip.matmul @tensor {
      lanes = 128, width = 128, dataflow = "weight_stationary", sparsity = "4:16",
      formats = ["bfloat16", "float16", "fp8_e4m3"], rates = {fp8_e4m3 = 1.948}
    } sources {
      rates = "published: 1,299 TFLOP/s in fp8, 667 in bfloat16, AWS Neuron documentation, Trainium2",
      others = "published: 128 by 128 systolic array, AWS Neuron documentation, NeuronCore-v3"
    }
    chip.vector @vector {lanes = 256, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 128 lanes each of the vector and the scalar engine; range 128 to 512"}
    chip.sram @sbuf {role = "shared", capacity = "30 MiB", width = 512}
        sources {
          capacity = "published: 28 MiB SBUF and 2 MiB PSUM a core, AWS Neuron documentation, NKI",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
