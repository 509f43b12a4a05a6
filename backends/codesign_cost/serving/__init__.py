"""Modes of serving: what a server's steps are made of when requests come and go."""
