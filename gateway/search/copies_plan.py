"""Which sites are asked for the copies of a page's groups, and what. It asks nobody itself."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from edges.model import Frozen, Members
from gateway.search.copies_trust import NOTHING, CopiesTrust, Need, Pair, pair_of
from gateway.search.merge import Group
from gateway.search.plan import Call, Plan
from gateway.search.probes import Ask, Window, window_of
from gateway.search.scene import covered_span, facts_of
from gateway.search.sifting import Candidate

_TEXT = msgspec.json.Decoder(str)


class PairNeeds:
    """What must be asked of the sites of one plan, by collection; kept, since a page's groups share collections."""

    def __init__(self, plan: Plan, trust: CopiesTrust) -> None:
        self._plan = plan
        self._trust = trust
        self._kept: dict[tuple[str, bytes], dict[str, Need]] = {}
        self._paired: dict[tuple[str, bytes], list[tuple[str, Pair]]] = {}

    def of(self, site: str, collection: bytes) -> dict[str, Need]:
        """Return what other sites must be asked for the copies of a site's items, by site."""
        known = self._kept.get((site, collection))
        if known is None:
            known = self._kept[site, collection] = {
                other: need
                for other, pair in self._pairs(site, collection)
                if (need := self._trust.need(pair, self._plan.order)) != NOTHING
            }
        return known

    def anything(self, group: Group) -> bool:
        """Tell whether copies of a group's rows could stand elsewhere in the order."""
        return any(self.of(row.site, bytes(row.item["collection"])) for row in group)

    def apart(self, call: Call, group: Group) -> bool:
        """Tell whether a site holds nothing of what the sites of a group hold."""
        pairs = [
            pair_of(row.site, call.site, _TEXT.decode(row.item["collection"])) for row in group if row.site != call.site
        ]
        return bool(pairs) and all(self._trust.apart(pair) for pair in pairs)

    def untried(self, places: Iterable[tuple[str, bytes]]) -> list[Pair]:
        """Return the pairs of these sites and collections that no audit has tried; call it before the others."""
        pairs = {pair for site, collection in places for _, pair in self._pairs(site, collection)}
        return [pair for pair in pairs if self._trust.untried(pair)]

    def curious(self, places: Iterable[tuple[str, bytes]]) -> frozenset[Pair]:
        """Return the pairs of these sites and collections that are due for another look."""
        pairs = {pair for place in places for _, pair in self._pairs(*place)}
        return frozenset(pair for pair in pairs if self._trust.curious(pair))

    def alone(self, groups: Iterable[Group], pairs: Iterable[Pair]) -> dict[Pair, dict[str, list[Members]]]:
        """Return, of each of these pairs, the items that stand without a copy of its other site."""
        found: dict[Pair, dict[str, list[Members]]] = {pair: {} for pair in pairs}
        for group in groups:
            here = {row.site for row in group}
            for row in group:
                for other, pair in self._pairs(row.site, bytes(row.item["collection"])):
                    if other not in here and pair in found:
                        found[pair].setdefault(row.site, []).append(row.item)
        return found

    def _pairs(self, site: str, collection: bytes) -> list[tuple[str, Pair]]:
        paired = self._paired.get((site, collection))
        if paired is None:
            name = _TEXT.decode(collection)
            paired = self._paired[site, collection] = [
                (call.site, pair_of(site, call.site, name))
                for call in self._plan.calls
                if call.site != site and (call.holds is None or name in call.holds)
            ]
        return paired


class _Asked(Frozen):
    """What one group asks of one site."""

    collection: str
    id: str | None = None
    windows: tuple[Window, ...] = ()


def asks_of(candidates: Iterable[Candidate], plan: Plan, needs: PairNeeds) -> dict[str, Ask]:
    """Return what each site is asked for: nothing where its copies are here already, or meet in the merge."""
    asked: dict[str, list[_Asked]] = {}
    for candidate in candidates:
        for call in plan.calls:
            wanted = _asked_of(call, candidate, needs)
            if wanted is not None:
                asked.setdefault(call.site, []).append(wanted)
    calls = {call.site: call for call in plan.calls}
    return {site: _joined(wanted, calls[site]) for site, wanted in asked.items()}


def _asked_of(call: Call, candidate: Candidate, needs: PairNeeds) -> _Asked | None:
    facts = facts_of(candidate.group[0].item)
    if facts is None or needs.apart(call, candidate.group):
        return None
    here = {row.site for row in candidate.group}
    collection = bytes(candidate.group[0].item["collection"])
    found = [needs.of(site, collection).get(call.site, NOTHING) for site in here if site != call.site]
    by_id = call.site not in here and any(need.ids for need in found)
    windows = tuple(_windows(candidate, by_bytes=any(need.bytes for need in found)))
    if not by_id and not windows:
        return None
    return _Asked(collection=facts.collection, id=facts.id if by_id else None, windows=windows)


def _windows(candidate: Candidate, *, by_bytes: bool) -> Iterator[Window]:
    for row, identity in zip(candidate.group, candidate.identities, strict=True):
        rungs = {token[0] for token in identity.tokens}
        if identity.scene is not None and rungs & {"product", "observation"}:
            yield window_of(row.item, identity.scene.around)
        elif by_bytes and "bytes" in rungs:
            facts = facts_of(row.item)
            span = covered_span(facts) if facts is not None else None
            if span is not None:
                yield window_of(row.item, span)


def _joined(wanted: Sequence[_Asked], call: Call) -> Ask:
    ids = tuple(dict.fromkeys(each.id for each in wanted if each.id is not None))
    query = call.segments[0]
    return Ask(
        ids=ids,
        windows=tuple(window for each in wanted for window in each.windows),
        id_collections=tuple(sorted({each.collection for each in wanted if each.id is not None})),
        window_collections=query.collections,
    )
