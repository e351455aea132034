"""What was taken over time, from sums that a database makes of the history: no entry comes here. Pure.

Each step of time is told what changed in it: the sum of the changes of what is held, and the sum of each change times
its moment. What is held now is known; so what was held before each step follows, and its average over the step.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from quotas.binding import Fact
from quotas.records import UsagePoint


class Steps(NamedTuple):
    """Steps of ``step`` seconds from ``since`` until ``until`` (epoch seconds)."""

    since: float
    until: float
    step: float

    @property
    def total(self) -> int:
        """How many there are; the last may be shorter."""
        return max(1, math.ceil((self.until - self.since) / self.step))

    def seconds(self, number: int) -> float:
        """How long one is."""
        return min(self.step, self.until - self.since - number * self.step)


class Sums(NamedTuple):
    """What changed for one user of a group at one edge in one step; step ``Steps.total`` is all that came after.

    ``used``: committed. ``change``: of what is held; ``moment``: the sum of each change times the seconds from the
    beginning of the steps to it. ``least``: the least that was changed after any moment in the step until the present
    (None where no moment lasted, or for what is used up), which tells the most that was held. ``first``: when the first
    change was, in seconds from the beginning of the steps.
    """

    group: str
    user: str
    edge: str
    step: int
    used: float
    change: float
    moment: float
    least: float | None
    first: float


def usage_points(rows: Iterable[Sums], resource: str, held: Mapping[Fact, float], steps: Steps) -> list[UsagePoint]:
    """Return what was used and held, per step; steps in which nothing was are left out."""
    by_fact: dict[Fact, dict[int, Sums]] = {fact: {} for fact in held}
    for row in rows:
        by_fact.setdefault(Fact(row.group, row.user, resource, row.edge), {})[row.step] = row
    points = [
        point
        for fact, sums in by_fact.items()
        for point in _points(fact, sums, held.get(fact, 0.0), steps)
        if point.used or point.held or point.peak
    ]
    return sorted(points, key=lambda point: (point.at, point.group, point.user, point.edge))


_TINY = 1e-9
"""What sums of many changes are off by, in relation to the largest of them."""


def _points(fact: Fact, sums: Mapping[int, Sums], held: float, steps: Steps) -> Iterator[UsagePoint]:
    level = held - (sums[steps.total].change if steps.total in sums else 0.0)
    for number in range(steps.total - 1, -1, -1):
        row, seconds = sums.get(number), steps.seconds(number)
        before = level - (row.change if row is not None else 0.0)
        begins = number * steps.step
        area, peak = before * seconds, before
        if row is not None:
            area += row.change * (begins + seconds) - row.moment
            peak = max(before if row.first > begins else 0.0, held - row.least if row.least is not None else 0.0)
        small = _TINY * max(1.0, abs(held), abs(level))
        yield UsagePoint(
            at=steps.since + begins,
            group=fact.group,
            user=fact.user,
            edge=fact.edge,
            used=row.used if row is not None else 0.0,
            held=_clean(area / seconds, small),
            peak=_clean(peak, small),
        )
        level = before


def _clean(value: float, small: float) -> float:
    return value if value > small else 0.0
