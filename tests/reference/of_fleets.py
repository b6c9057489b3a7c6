"""The figures of a fleet: those of its vehicles, and their sums."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime

from tests.reference.devices import ReferenceFleet
from tests.reference.figures import corrected, figures, rejected
from tests.reference.sums import Figures, Side, Window


def vehicles(fleet: ReferenceFleet, start: datetime, end: datetime) -> dict[str, Figures]:
    """Of each vehicle its sums; the fleet asks for whole hours."""
    return {name: figures(fleet, name, start, end) for name in fleet.vehicles}


def of_all(fleet: ReferenceFleet, start: datetime, end: datetime) -> Figures:
    """The fleet's sums: those of all vehicles of which more is known than that readings were bad.

    A meter's rejected and corrected readings are many vehicles', and count once.
    """
    known = vehicles(fleet, start, end)
    heard_of = {name for name, one in known.items() if one != only_bad(one)}
    found = together(known.values())
    found.rejected = rejected(fleet, heard_of, Window(start, end))
    found.corrected = corrected(fleet, heard_of, Window(start, end))
    return found


def only_bad(one: Figures) -> Figures:
    """What is known of a vehicle of which it is no more than that readings were bad."""
    return Figures(rejected=one.rejected, corrected=one.corrected)


def together(many: Iterable[Figures]) -> Figures:
    """The sums of all of them."""
    found = Figures()
    for one in many:
        for name in (f.name for f in fields(Figures)):
            if name in ("ac", "dc"):
                side, other = getattr(found, name), getattr(one, name)
                for part in fields(Side):
                    setattr(side, part.name, getattr(side, part.name) + getattr(other, part.name))
            else:
                setattr(found, name, getattr(found, name) + getattr(one, name))
    return found
