"""Which groups stand, given their copies: the first of each class in the global order, and no other. Pure.

Two rows are copies if their identities share a token. Ids and bytes say nothing among rows of one site: what it lists
twice is its own business, but scenes that it holds in several productions are one. Nothing here depends on where pages
end: a group is dropped if and only if a copy that matches the query stands before it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from edges.stac.order import Key
from gateway.search.identity import Identity, Token
from gateway.search.merge import Group, Row

MAX_COPIES = 64
"""Copies told of one item."""
_BETWEEN_SITES = frozenset({"item", "bytes"})


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """A row that was seen, with what identifies it."""

    row: Row
    identity: Identity


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A group that may stand, with the identities of its rows."""

    group: Group
    identities: tuple[Identity, ...]

    @property
    def key(self) -> Key:
        """Return the group's place in the global order."""
        return self.group[0].key


class Sightings:
    """All rows that were seen while a page was made, by what identifies them."""

    def __init__(self) -> None:
        self._by_token: dict[Token, list[Sighting]] = {}
        self._known: set[tuple[str, Key]] = set()

    def add(self, row: Row, identity: Identity) -> None:
        """Note a row; twice is once."""
        if (row.site, row.key) in self._known:
            return
        self._known.add((row.site, row.key))
        for token in identity.tokens:
            self._by_token.setdefault(token, []).append(Sighting(row=row, identity=identity))

    def copies(self, candidate: Candidate) -> list[Row]:
        """Return the copies of a group's rows, in the global order: all that were seen, less the group itself."""
        own = {(row.site, row.key) for row in candidate.group}
        found: dict[tuple[str, Key], Row] = {}
        for row, identity in zip(candidate.group, candidate.identities, strict=True):
            for token in identity.tokens:
                for sighting in self._by_token.get(token, ()):
                    other = sighting.row
                    if (other.site, other.key) not in own and (
                        token[0] not in _BETWEEN_SITES or other.site != row.site
                    ):
                        found[other.site, other.key] = other
        return sorted(found.values(), key=_place)


def sift(candidates: Iterable[Candidate], sightings: Sightings) -> list[Group]:
    """Return the groups that stand, each with the copies that stand elsewhere behind its own rows."""
    kept: list[Group] = []
    for candidate in candidates:
        copies = sightings.copies(candidate)
        if copies and copies[0].key < candidate.key:
            continue
        kept.append(_with_copies(candidate.group, copies))
    return kept


def _with_copies(group: Group, copies: Sequence[Row]) -> Group:
    return [*group, *copies[: max(0, MAX_COPIES - len(group))]] if copies else group


def _place(row: Row) -> tuple[Key, str]:
    return (row.key, row.site)
