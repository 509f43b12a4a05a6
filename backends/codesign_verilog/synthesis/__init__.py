"""Synthesis of an emitted chip, unit by unit: cells, area, flip-flops, bits of SRAM, critical path."""
