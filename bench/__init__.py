"""Benchmarks: how fast the whole path is on this machine, and what limits it."""
