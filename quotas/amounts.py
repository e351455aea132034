"""Amounts: exact to a quantum, and shared among the lines of a reservation. Pure."""

import math
from collections.abc import Mapping, Sequence

from quotas.errors import InvalidAmount
from quotas.model import Line

QUANTUM = 2.0**-20
"""Amounts are multiples of this (a power of two), so that sums and differences of them are exact."""


def exact(amount: float) -> float:
    """Round up to the quantum.

    Raises:
        InvalidAmount: the amount is negative or not finite.
    """
    if not (math.isfinite(amount) and amount >= 0):
        raise InvalidAmount(f"an amount must be a finite number, 0 or more; got {amount}")
    return math.ceil(amount / QUANTUM) * QUANTUM


def shares(lines: Sequence[Line], actual: Mapping[str, float] | None) -> list[float]:
    """Return what was really used of each line, given what was used per resource (default: as reserved).

    Lines of one resource at several edges share its amount as they were reserved.

    Raises:
        InvalidAmount: an amount is no amount, or its resource was not reserved.
    """
    given = actual or {}
    totals: dict[str, float] = {}
    for line in lines:
        totals[line.resource] = totals.get(line.resource, 0.0) + line.amount
    for resource in given:
        if resource not in totals:
            raise InvalidAmount(f"{resource} was not reserved; the reservation has {', '.join(totals)}")
    return [_share(line, totals[line.resource], given, lines) for line in lines]


def _share(line: Line, total: float, given: Mapping[str, float], lines: Sequence[Line]) -> float:
    amount = given.get(line.resource)
    if amount is None:
        return exact(line.amount)
    if total > 0:
        return exact(amount if total == line.amount else amount * line.amount / total)
    return exact(amount / sum(other.resource == line.resource for other in lines))
