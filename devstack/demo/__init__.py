"""The demo: the whole path from gateways to the API on real services, checked at its end."""

from devstack.demo.command import main

__all__ = ["main"]
