"""Kernels for single tokens, compiled by Numba for the processor that they run on: the executor ``numba``."""
