// AWS trn2.48xlarge: sixteen Trainium2 in a torus.
chip.system @trn2 {
  chip.instance @chip count(16) {design = @trainium2}
      sources {count = "published: AWS Neuron documentation, Trn2 architecture"}
  chip.link @neuronlink {kind = "NeuronLink-v3", bandwidth = "640 GB/s", topology = "torus"}
      sources {bandwidth = "published: 1.28 TB/s a chip, both directions together, AWS Neuron documentation, Trainium2"}
}
