"""Exporters: programs as files that other tools read."""
