"""The arithmetic: what every executor, unit and pass computes with, stated once. See docs/arithmetic.md."""
