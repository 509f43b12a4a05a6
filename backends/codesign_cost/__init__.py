"""The cost model: demand, time laws and a combiner over arrays; ``codesign_cost.backend.CostBackend`` is its plugin.

What it models and what it does not, and how far off it is, is in docs/cost-model.md.
"""
