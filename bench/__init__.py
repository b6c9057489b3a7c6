"""Benchmarks: how fast the whole path is on this machine, and close to what limit."""
