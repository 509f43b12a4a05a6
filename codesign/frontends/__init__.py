"""Readers of somebody's model: each turns a file or folder into a program."""
