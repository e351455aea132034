"""The state that a history adds up to. Pure.

The history is the account of record: what is open, what is kept, and what windows have used must follow from it
alone, from its beginning or from the point up to which it was forgotten.
"""

from collections.abc import Iterable
from itertools import takewhile

import msgspec

from quotas.binding import Fact
from quotas.model import Entry
from quotas.windows import begins, bucket_of


class Replayed(msgspec.Struct):
    """What a history adds up to. Amounts of 0 are left out."""

    seq: int = 0
    open: dict[str, dict[Fact, float]] = {}
    """What is reserved, by key."""
    kept: dict[Fact, float] = {}
    """What was committed and not given back."""
    spent: dict[tuple[Fact, int, int], float] = {}
    """What was committed in each bucket of the spans that were asked for: (fact, span, bucket) -> amount."""

    def taken(self, fact: Fact) -> float:
        """Return what is taken of one fact: reserved and kept."""
        return self.kept.get(fact, 0.0) + sum(facts.get(fact, 0.0) for facts in self.open.values())


class HistoryBroken(Exception):
    """The entries do not follow from each other."""


def replay(entries: Iterable[Entry], start: Replayed | None = None, spans: Iterable[int] = ()) -> Replayed:
    """Add up entries, by growing ``seq`` and without gaps, to a start.

    Raises:
        HistoryBroken: one is missing, or says another ``before`` than those before it add up to.
    """
    state = start or Replayed()
    levels = {fact: state.taken(fact) for fact in _facts(state)}
    counted = tuple(spans)
    for entry in entries:
        if entry.seq != state.seq + 1:
            raise HistoryBroken(f"entry {entry.seq} comes after {state.seq}")
        state.seq = entry.seq
        if entry.event not in ("policy", "grant"):
            _add(state, entry, levels, counted)
    return state


def _facts(state: Replayed) -> set[Fact]:
    return set(state.kept).union(*(facts.keys() for facts in state.open.values()))


def _add(state: Replayed, entry: Entry, levels: dict[Fact, float], spans: tuple[int, ...]) -> None:
    fact = Fact(entry.group, entry.user, entry.resource, entry.edge)
    if levels.get(fact, 0.0) != entry.before:
        raise HistoryBroken(f"entry {entry.seq} begins at {entry.before}, and not at {levels.get(fact, 0.0)}")
    levels[fact] = entry.after
    change = entry.after - entry.before
    match entry.event:
        case "reserve":
            _reserve(state, entry.key, fact, change)
        case "commit":
            _reserve(state, entry.key, fact, change - entry.amount)
            _keep(state, fact, entry.amount)
            for span in spans:
                place = (fact, span, bucket_of(span, entry.at))
                state.spent[place] = state.spent.get(place, 0.0) + entry.amount
        case "give-back":
            _keep(state, fact, change)
        case _:
            _reserve(state, entry.key, fact, change)


def _reserve(state: Replayed, key: str, fact: Fact, change: float) -> None:
    facts = state.open.setdefault(key, {})
    facts[fact] = facts.get(fact, 0.0) + change
    if facts[fact] == 0:
        del facts[fact]
    if not facts:
        del state.open[key]


def _keep(state: Replayed, fact: Fact, change: float) -> None:
    state.kept[fact] = state.kept.get(fact, 0.0) + change
    if state.kept[fact] == 0:
        del state.kept[fact]


FORGET_AT_ONCE = 10_000
"""How many entries are forgotten in one transaction, at most."""

KEEP_HISTORY_SECONDS = 400 * 86_400.0
"""How long the history is kept by default, in seconds: more than a year."""


def horizon_of(now: float, keep_seconds: float, spans: Iterable[int]) -> float:
    """Return before when (epoch seconds) the history may be forgotten: never what a window still counts."""
    return min([now - keep_seconds, *(begins(span, now) for span in spans)])


def forgotten(entries: Iterable[Entry], start: Replayed, horizon: float) -> Replayed:
    """Add up the entries before a time: the new checkpoint."""
    return replay(takewhile(lambda entry: entry.at < horizon, entries), start)


def checkpoint_rows(state: Replayed) -> list[tuple[str, str, str, str, str, float]]:
    """Write a state as the rows of a checkpoint: key (empty: kept), fact, amount. Windows are kept elsewhere."""
    rows = [("", *fact, amount) for fact, amount in state.kept.items()]
    return rows + [(key, *fact, amount) for key, facts in state.open.items() for fact, amount in facts.items()]


def from_checkpoint(seq: int, rows: Iterable[tuple[str, str, str, str, str, float]]) -> Replayed:
    """Read a checkpoint."""
    state = Replayed(seq=seq)
    for key, group, user, resource, edge, amount in rows:
        fact = Fact(group, user, resource, edge)
        if key:
            state.open.setdefault(key, {})[fact] = amount
        else:
            state.kept[fact] = amount
    return state
