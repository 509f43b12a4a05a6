"""The plugin interface: what a plugin may register (``hooks``), what a backend is (``backend``), how they are found
(``manager``)."""

from pluggy import HookimplMarker

hookimpl = HookimplMarker("codesign")
"""Marks a plugin's implementation of a hook."""

API_VERSION = 1
"""The version of the interface between Codesign and its plugins; a backend states the one it was written for."""
