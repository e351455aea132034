"""What was taken over time, entry by entry: what the sums of the database are compared with.

What is held now is known; going back through the history tells what was held before.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from quotas.binding import Fact
from quotas.model import Entry
from quotas.records import UsagePoint
from quotas.series import KEPT


class Levels(NamedTuple):
    """What is held of a resource at the end of the history that is looked at."""

    resource: str
    held: Mapping[Fact, float]


def held_change(entry: Entry) -> float:
    """Return by how much an entry changed what is held."""
    kept = entry.resource in KEPT
    match entry.event:
        case "reserve":
            return entry.amount
        case "release" | "expire":
            return -entry.amount
        case "commit":
            change = entry.after - entry.before
            return change if kept else change - entry.amount
        case "give-back":
            return -entry.amount if kept else 0.0
        case _:
            return 0.0


class _Track:
    """One fact over all steps, filled from the end of time backwards."""

    def __init__(self, held: float, steps: int) -> None:
        self.level = held
        self.used = [0.0] * steps
        self.seconds = [0.0] * steps
        self.peak = [0.0] * steps


class _Steps(NamedTuple):
    since: float
    until: float
    step: float

    @property
    def total(self) -> int:
        return math.ceil((self.until - self.since) / self.step)

    def number(self, at: float) -> int:
        return min(self.total - 1, max(0, int((at - self.since) / self.step)))

    def hold(self, track: _Track, begin: float, end: float) -> None:
        """Count the present level from ``begin`` to ``end``."""
        begin, end = max(begin, self.since), min(end, self.until)
        if begin >= end or track.level <= 0:
            return
        for number in range(self.number(begin), self.number(math.nextafter(end, begin)) + 1):
            first = max(begin, self.since + number * self.step)
            last = min(end, self.since + (number + 1) * self.step)
            track.seconds[number] += track.level * max(0.0, last - first)
            track.peak[number] = max(track.peak[number], track.level)


def series(entries: Sequence[Entry], levels: Levels, since: float, until: float, step: float) -> list[UsagePoint]:
    """Return what was used and held of a resource, per step; ``entries`` are all from ``since`` to the present."""
    steps = _Steps(since, until, step)
    tracks = {fact: _Track(held, steps.total) for fact, held in levels.held.items()}
    ends: dict[Fact, float] = {}
    for entry in reversed(entries):
        if entry.resource == levels.resource and entry.event not in ("policy", "grant"):
            _step_back(entry, steps, tracks, ends)
    for fact, track in tracks.items():
        steps.hold(track, since, ends.get(fact, until))
    return sorted(_points(steps, tracks), key=lambda point: (point.at, point.group, point.user, point.edge))


def _step_back(entry: Entry, steps: _Steps, tracks: dict[Fact, _Track], ends: dict[Fact, float]) -> None:
    fact = Fact(entry.group, entry.user, entry.resource, entry.edge)
    track = tracks.get(fact)
    if track is None:
        track = tracks[fact] = _Track(0.0, steps.total)
    steps.hold(track, entry.at, ends.get(fact, steps.until))
    ends[fact] = entry.at
    if entry.event == "commit" and steps.since <= entry.at < steps.until:
        track.used[steps.number(entry.at)] += entry.amount
    track.level = max(0.0, track.level - held_change(entry))


def _points(steps: _Steps, tracks: Mapping[Fact, _Track]) -> Iterable[UsagePoint]:
    for fact, track in tracks.items():
        for number in range(steps.total):
            if track.used[number] or track.peak[number]:
                at = steps.since + number * steps.step
                yield UsagePoint(
                    at=at,
                    group=fact.group,
                    user=fact.user,
                    edge=fact.edge,
                    used=track.used[number],
                    held=track.seconds[number] / min(steps.step, steps.until - at),
                    peak=track.peak[number],
                )
