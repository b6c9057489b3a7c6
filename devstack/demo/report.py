"""Prints how the demo ended: the vehicles with low efficiency, and what was checked."""

from rich.console import Console
from rich.table import Table

from devstack.demo.checks import LOW_EFFICIENCY, Check, VehicleFigures


def print_vehicles(console: Console, vehicles: list[VehicleFigures]) -> None:
    """Print those with low efficiency, the API's figures beside the fleet's; the worst first."""
    low = sorted((v for v in vehicles if v.low), key=lambda v: v.efficiency or 0.0)
    table = Table(
        title=f"Vehicles under {LOW_EFFICIENCY:.0%} of {len(vehicles)}", title_justify="left"
    )
    for name in ("vehicle", "charger"):
        table.add_column(name)
    for name in ("AC kWh", "DC kWh", "efficiency", "fleet's own", "match"):
        table.add_column(name, justify="right")
    for vehicle in low:
        table.add_row(
            vehicle.vehicle_id,
            ", ".join(vehicle.meter_ids),
            f"{vehicle.energy_ac:.3f}",
            f"{vehicle.energy_dc:.3f}",
            f"{vehicle.efficiency:.3f}",
            "none" if vehicle.true_efficiency is None else f"{vehicle.true_efficiency:.6f}",
            "yes" if vehicle.match else "NO",
        )
    console.print(table)


def print_checks(console: Console, checks: list[Check]) -> bool:
    """Print each check in a line and whether all hold; return that."""
    for check in checks:
        console.print(("ok   " if check.holds else "FAIL ") + check.text, highlight=False)
    good = all(check.holds for check in checks)
    console.print(
        "the demo's books balance: every reading is accounted for"
        if good
        else "THE DEMO'S BOOKS DO NOT BALANCE",
        style="bold green" if good else "bold red",
        highlight=False,
    )
    return good
