"""The functional executor: a program compiled once into straight-line NumPy calls over preallocated buffers.

It computes in float32 what the formats store. Where a linear operation's input and weight are both integers, sums are
exact and scaled as ``codesign.numerics`` says, bit for bit what the chip does.
"""
