"""Tests of the worker's loop, without any service."""
