// AWS Inferentia2: two NeuronCores of the second version.
chip.design @inferentia2 attributes {process = "7 nm", clock = "2.9 GHz"}
    sources {
      process = "estimated: TSMC 7 nm, not confirmed by AWS; range 7 to 5 nm",
      clock = "estimated: 190 TFLOP/s over two arrays of 128 by 128; 2.8 GHz is documented"
    } {
  chip.memory @hbm {kind = "hbm2e", capacity = "32 GiB", bandwidth = "820 GB/s"}
      sources {others = "published: AWS Neuron documentation, Inferentia2; the generation of HBM is not stated"}
  chip.link @neuronlink {kind = "NeuronLink-v2", bandwidth = "96 GiB/s", topology = "ring"}
      sources {bandwidth = "published: 192 GiB/s a chip, taken as both directions together, AWS Neuron documentation, Inferentia2"}
  chip.scheduler @program {kind = "microcode"}
  chip.core @neuroncore count(2)
      sources {count = "published: AWS Neuron documentation, Inferentia2"} {
    chip.matmul @tensor {
      lanes = 128, width = 128, dataflow = "weight_stationary", formats = ["bfloat16", "float16", "fp8_e4m3", "int8"],
      rates = {int8 = 2}
    } sources {
      rates = "published: 380 TOPS in int8, 190 TFLOP/s in fp8 and bfloat16, AWS Neuron documentation, Inferentia2",
      others = "published: 128 by 128 systolic array, AWS Neuron documentation, NeuronCore-v2"
    }
    chip.vector @vector {lanes = 256, formats = ["float32", "bfloat16"]}
        sources {lanes = "estimated: 128 lanes each of the vector and the scalar engine; range 128 to 512"}
    chip.sram @sbuf {role = "shared", capacity = "26 MiB", width = 512}
        sources {
          capacity = "published: 24 MiB SBUF and 2 MiB PSUM a core, AWS Neuron documentation, NKI",
          width = "estimated: two bfloat16 operands an array row and cycle"
        }
  }
}
