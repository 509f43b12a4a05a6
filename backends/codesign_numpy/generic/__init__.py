"""The generic dialect in NumPy: a kernel for each operator, to the definitions of the ONNX standard."""
