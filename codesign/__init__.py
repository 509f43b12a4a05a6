"""Codesign: design an LLM-inference chip and the model that runs on it together.

The verbs are here (``codesign.load_model``, ``compile``, ``run``, …) and load on first use, so that ``import
codesign`` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codesign.api import compile, compute, cost, emit, export, load_chip, load_graph, load_model, run, simulate
    from codesign.errors import CodesignError

__version__ = "0.1.0"
__all__ = [
    "CodesignError",
    "compile",
    "compute",
    "cost",
    "emit",
    "export",
    "load_chip",
    "load_graph",
    "load_model",
    "run",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'codesign' has no attribute '{name}'")
    module = "codesign.errors" if name == "CodesignError" else "codesign.api"
    return getattr(import_module(module), name)
