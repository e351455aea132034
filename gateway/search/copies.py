"""The stage that gives each scene once: it finds copies wherever they stand in the order, and keeps the first.

It holds nothing between pages. A copy may stand pages before or after, since providers disagree about a scene's time
and name; so the other sites are asked for the copies of what stands on this page, in one probe each. What an audit
has shown to meet in the merge by itself is not asked for.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edges.errors import EdgeError
from edges.model import Members
from edges.registry import Site
from gateway.search.copies_plan import PairNeeds, asks_of
from gateway.search.copies_trust import CopiesTrust, Pair, pair_of
from gateway.search.identity import identify
from gateway.search.merge import Group, Row
from gateway.search.plan import Call
from gateway.search.probes import Ask
from gateway.search.probing import MAX_FOUND, probe
from gateway.search.sifting import Candidate, Sightings, sift
from gateway.search.stages import Disproved, Making

_MEMORY = "copies"
_AUDIT_SHARE = 0.25
"""How much of the time that is left the first search of a pair may wait for its audit."""
_MAX_AWAITED = 6
"""Pairs whose audit one page waits for; the others are asked instead, and audited in the background."""
_TEXT = msgspec.json.Decoder(str)


class CopiesDiffer(Disproved):
    """Two sites that were relied on tell one copy at different places of the order."""

    def __init__(self, trust: CopiesTrust, pairs: Iterable[Pair]) -> None:
        super().__init__("copies differ between sites that were relied on")
        self._trust = trust
        self._pairs = tuple(pairs)

    def correct(self, sites: Mapping[str, Site]) -> None:
        """Rely on these pairs no more."""
        for pair in self._pairs:
            self._trust.caught(pair)


class _Memory:
    """What was seen while one page is made."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[Group]] = {}
        self.sightings = Sightings()


class Copies:
    """Implements :class:`gateway.search.stages.Stage` for ``dedup`` of a query."""

    def __init__(self, *, trust: CopiesTrust, most: int = MAX_FOUND) -> None:
        self._trust = trust
        self._most = most

    async def kept(self, groups: Sequence[Group], making: Making) -> list[Group]:
        """Return the groups whose first copy they hold, with all their copies.

        A site that cannot be asked is noted in ``making.failures``, and what it might have shown stands.

        Raises:
            CopiesDiffer: copies stand on this page that should have met in the merge.
        """
        if making.query.dedup == "none":
            return _one_by_one(groups, making)
        if not groups or (making.query.dedup == "replica" and len(making.plan.calls) == 1):
            return list(groups)
        memory: _Memory = making.memory.setdefault(_MEMORY, _Memory())
        self._watch(groups, making, memory)
        needs = PairNeeds(making.plan, self._trust)
        places = {(row.site, bytes(row.item["collection"])) for group in groups for row in group}
        await self._audited(needs.untried(places), making)
        if making.query.dedup == "replica" and not any(needs.of(*place) for place in places):
            if due := needs.curious(places):
                self._trust.keep(needs.alone(groups, due))
            return list(groups)  # the usual case: all copies meet in the merge
        candidates = {
            index: _candidate(group, making)
            for index, group in enumerate(groups)
            if (making.query.dedup != "replica" or needs.anything(group)) and not self._trust.alone(group[0].site)
        }
        for candidate in candidates.values():
            for row, identity in zip(candidate.group, candidate.identities, strict=True):
                memory.sightings.add(row, identity)
        asks = asks_of(candidates.values(), making.plan, needs)
        for row in await self._found(asks, making):
            memory.sightings.add(row, identify(row.item, making.query.dedup))
        return _in_place(groups, candidates, memory.sightings)

    def _watch(self, groups: Sequence[Group], making: Making, memory: _Memory) -> None:
        """See to it that copies by id which are relied on to meet have met."""
        names = memory.names
        for group in groups:
            name = bytes(group[0].item["id"])
            earlier = names.get(name)
            if earlier is None:
                names[name] = [group]
                continue
            collection = bytes(group[0].item["collection"])
            for one in earlier:
                if bytes(one[0].item["collection"]) == collection:
                    self._compare(one, group, making)
            earlier.append(group)

    def _compare(self, earlier: Group, later: Group, making: Making) -> None:
        collection = _TEXT.decode(later[0].item["collection"])
        pairs = {
            pair_of(one.site, other.site, collection)
            for one, other in itertools.product(earlier, later)
            if one.site != other.site
        }
        relied = [pair for pair in pairs if self._trust.relies(pair, making.plan.order)]
        if relied:
            raise CopiesDiffer(self._trust, relied)

    async def _audited(self, pairs: Sequence[Pair], making: Making) -> None:
        """Let pairs show that they can be relied on, where that is soon done."""
        if not pairs or len(pairs) > _MAX_AWAITED:
            return
        now = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, making.end - now) * _AUDIT_SHARE):
                await asyncio.gather(*(self._trust.audit(pair) for pair in pairs))

    async def _found(self, asks: Mapping[str, Ask], making: Making) -> list[Row]:
        """Ask all sites at once; return the rows that match the whole query."""
        calls = {call.site: call for call in making.plan.calls}
        answers = await asyncio.gather(*(self._asked(making.sites[site], ask, making) for site, ask in asks.items()))
        return [
            row
            for site, items in zip(asks, answers, strict=True)
            for item in items
            if (row := _row(item, calls[site], making)) is not None
        ]

    async def _asked(self, site: Site, ask: Ask, making: Making) -> list[Members]:
        try:
            async with asyncio.timeout_at(making.end):
                return await probe(site, ask, most=self._most, made=making.probes)
        except TimeoutError:
            reason = "it did not tell its copies within the deadline"
        except EdgeError as error:
            reason = f"it could not be asked for copies: {error}"
        making.failures.setdefault(site.id, reason)
        return []


def _one_by_one(groups: Sequence[Group], making: Making) -> list[Group]:
    """Give each copy as an item of its own, by the names of the sites, from where the last page ended."""
    return [
        [row]
        for group in groups
        for row in sorted(group, key=lambda each: each.site)
        if row.key != making.after or row.site > making.within
    ]


def _row(item: Members, call: Call, making: Making) -> Row | None:
    """Return an answer as a row; None where it does not match, is not the site's own, or is no item."""
    try:
        if not making.matches(item):
            return None
        if call.holds is not None and _TEXT.decode(item["collection"]) not in call.holds:
            return None
        return Row(key=making.key(item), site=call.site, item=item)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _candidate(group: Group, making: Making) -> Candidate:
    return Candidate(group=group, identities=tuple(identify(row.item, making.query.dedup) for row in group))


def _in_place(groups: Sequence[Group], candidates: Mapping[int, Candidate], sightings: Sightings) -> list[Group]:
    kept: list[Group] = []
    for index, group in enumerate(groups):
        candidate = candidates.get(index)
        kept += [group] if candidate is None else sift([candidate], sightings)
    return kept
