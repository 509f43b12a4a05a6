"""Microcode below the IR: instructions over numbered registers, their words, and what they do."""
