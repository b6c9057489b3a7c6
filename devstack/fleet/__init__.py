"""A simulated fleet: the gateways of its depots send to Kafka, and it knows what they sent."""

from devstack.fleet.command import main
from devstack.fleet.options import FleetOptions, parse_faults
from devstack.fleet.simulation import SimulatedFleet
from devstack.fleet.truth import Truth

__all__ = ["FleetOptions", "SimulatedFleet", "Truth", "main", "parse_faults"]
