"""The dialects of Codesign: formats, transformer, chip and microcode.

This package needs nothing but xDSL; ``codesign_dialects.universe`` registers it with a plain ``xdsl-opt``.
"""
