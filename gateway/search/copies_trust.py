"""Whether two sites tell the same of the copies that they share, so that copies meet in the merge by themselves.

Copies with equal sort values stand next to each other in any merge, and cost nothing. So each pair of sites that
share a collection is audited: items of one are asked at the other. A pair that agrees is relied on; a pair that does
not, or is not known yet, is asked on every page; and one that is caught is never relied on again. While a pair is
relied on, items of the pages that are given are compared as well, from time to time.
"""

import asyncio
import functools
import itertools
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from edges.errors import EdgeError
from edges.model import Frozen, Members, Query, SortKey
from edges.registry import Registry, Site
from edges.stac.order import DEFAULT_ORDER, NAMING_FIELDS, field_path, rank
from gateway.search.identity import Identity, Token, identify
from gateway.search.probes import MAX_REQUESTS, Ask, united, window_of
from gateway.search.probing import probe
from gateway.search.scene import covered_span, facts_of

_log = logging.getLogger(__name__)

SAMPLE = 20
"""Items of each site that are asked at the other, by default."""
_MAX_VERDICTS = 20_000
"""Verdicts remembered; sites name collections as they like, so there must be a bound."""
_MAX_ALONE = 32
"""Pairs of which items are kept to be asked for later; each costs one request in ``audit_seconds``."""
_NAMING = ("id", "collection", "properties")
_PROPERTIES = msgspec.json.Decoder(dict[str, object])


class Pair(Frozen):
    """Two sites, by id in order, and a harmonised collection that both hold."""

    one: str
    other: str
    collection: str


def pair_of(one: str, other: str, collection: str) -> Pair:
    """Return the pair of two sites, whichever is named first."""
    first, second = (one, other) if one <= other else (other, one)
    return Pair(one=first, other=second, collection=collection)


@functools.lru_cache(maxsize=256)
def _valued(order: tuple[SortKey, ...]) -> frozenset[str]:
    """Return the fields of an order that do not name items."""
    return frozenset(field_path(key.field) for key in order) - NAMING_FIELDS


class Verdict(Frozen):
    """What an audit has found: ``differing`` properties of copies by id, ``renamed``: equal bytes go by other ids."""

    differing: frozenset[str] = frozenset()
    renamed: bool = False


class Need(Frozen):
    """What must be asked, since it cannot be relied on."""

    ids: bool
    bytes: bool


NOTHING = Need(ids=False, bytes=False)


class CopiesTrust:
    """What is known of pairs of sites.

    ``audit_seconds`` is how often unknown pairs are tried in the background, ``sample`` how many items of each site.
    """

    def __init__(self, *, registry: Registry, audit_seconds: float, sample: int = SAMPLE) -> None:
        self._registry = registry
        self._sample = sample
        self._disjoint = frozenset(site.id for site in registry.sites() if site.settings.catalogue.disjoint)
        self._seconds = audit_seconds
        self._verdicts: dict[Pair, Verdict] = {}
        self._caught: set[Pair] = set()
        self._tried: set[Pair] = set()
        self._locks: dict[Pair, asyncio.Lock] = {}
        self._alone: dict[Pair, dict[str, list[Members]]] = {}

    def need(self, pair: Pair, order: Sequence[SortKey]) -> Need:
        """Tell what a search in this order must ask about a pair."""
        if self.apart(pair):
            return NOTHING
        verdict = self._verdicts.get(pair)
        fields = _valued(tuple(order))
        relied = pair not in self._caught and verdict is not None and fields.isdisjoint(verdict.differing)
        return Need(ids=bool(fields) and not relied, bytes=verdict is None or verdict.renamed)

    def alone(self, site: str) -> bool:
        """Tell whether an operator says that a site holds nothing that others hold: nothing there is a copy."""
        return site in self._disjoint

    def apart(self, pair: Pair) -> bool:
        """Tell whether an operator says that a site of a pair holds nothing that others hold, and was right so far."""
        return not self._disjoint.isdisjoint((pair.one, pair.other)) and pair not in self._caught

    def relies(self, pair: Pair, order: Sequence[SortKey]) -> bool:
        """Tell whether copies by id of a pair were relied on to meet, and can be relied on no more from now on."""
        return pair not in self._caught and not self.need(pair, order).ids

    def untried(self, pair: Pair) -> bool:
        """Tell whether a search may wait for this pair's audit: only the first one does."""
        known = pair in self._verdicts or pair in self._caught or pair in self._tried
        return not known and not self.apart(pair)

    def caught(self, pair: Pair) -> None:
        """Never rely on this pair again."""
        self._caught.add(pair)
        for name in (pair.one, pair.other):
            site = self._registry.get(name)
            if site is not None:
                site.caught("copies")
        _log.warning(
            "sites differ in what they tell of a copy",
            extra=_told(pair),
        )

    async def audit(self, pair: Pair) -> None:
        """Compare the copies of a pair, once; a pair that does not answer stays unknown."""
        one, other = self._registry.get(pair.one), self._registry.get(pair.other)
        if one is None or other is None or not (one.pulse.available and other.pulse.available):
            return
        self._tried.add(pair)
        async with self._locks.setdefault(pair, asyncio.Lock()):
            if pair in self._verdicts:
                return
            try:
                verdict = await compare(one, other, pair.collection, sample=self._sample)
            except EdgeError as error:
                _log.info("copies could not be compared", extra=_told(pair) | {"reason": str(error)})
                return
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            self._verdicts[pair] = verdict

    def curious(self, pair: Pair) -> bool:
        """Tell whether items of a pair that is relied on are wanted, to be looked at again; see :meth:`keep`."""
        return pair in self._verdicts and pair not in self._alone and len(self._alone) < _MAX_ALONE

    def keep(self, found: Mapping[Pair, Mapping[str, Sequence[Members]]]) -> None:
        """Keep some items, by pair and site, that stood on a page without a copy of the pair's other site.

        The audit was a sample, and the pages of a walk are another: what is kept is asked for at the other site later
        (:meth:`look_again`), so that a copy which stands on another page ends the trust.
        """
        for pair, items in itertools.islice(found.items(), _MAX_ALONE - len(self._alone)):
            self._alone[pair] = {
                # Copied out of the page, which would else be kept as a whole.
                site: [{name: each[name].copy() for name in _NAMING if name in each} for each in some]
                for site, some in ((site, of_site[: self._sample]) for site, of_site in items.items())
            }

    async def look_again(self) -> None:
        """Ask for what stood alone; rely no longer on what the copies that are found differ in."""
        while self._alone:
            pair, items = self._alone.popitem()
            for site, some in items.items():
                other = self._registry.get(pair.other if site == pair.one else pair.one)
                if other is not None and other.pulse.available and pair in self._verdicts:
                    await self._compare_again(pair, other, some)

    async def _compare_again(self, pair: Pair, other: Site, items: Sequence[Members]) -> None:
        try:
            differing = _differing(items, await _asked(other, pair.collection, items))
        except EdgeError as error:
            _log.info("copies could not be compared", extra=_told(pair) | {"reason": str(error)})
            return
        known = self._verdicts[pair]
        if differing - known.differing:
            _log.info("copies differ that an audit did not see", extra=_told(pair) | {"fields": sorted(differing)[:20]})
            self._verdicts[pair] = Verdict(differing=known.differing | differing, renamed=known.renamed)

    def pairs(self) -> list[Pair]:
        """Return all pairs of sites that are known to share a collection."""
        held = {site.id: site.collection_ids or frozenset() for site in self._registry.sites()}
        shared = [
            Pair(one=one, other=other, collection=collection)
            for one, other in itertools.combinations(sorted(held), 2)
            for collection in sorted(held[one] & held[other])
        ]
        return [pair for pair in shared if not self.apart(pair)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Audit the pairs that are not known yet, one after the other, while the context lasts."""
        task = asyncio.create_task(self._audit_for_ever(), name="audit copies")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _audit_for_ever(self) -> None:
        while True:
            for pair in self.pairs():
                if pair not in self._verdicts and pair not in self._caught:
                    await self.audit(pair)
            await self.look_again()
            await asyncio.sleep(self._seconds)


def _told(pair: Pair) -> dict[str, object]:
    return {"sites": [pair.one, pair.other], "collection": pair.collection}


async def compare(one: Site, other: Site, collection: str, *, sample: int = SAMPLE) -> Verdict:
    """Ask ``sample`` items of each of two sites at the other, and compare what both tell.

    Raises:
        EdgeError: one of them does not answer.
    """
    ours, theirs = await asyncio.gather(_sample(one, collection, sample), _sample(other, collection, sample))
    found = await asyncio.gather(_asked(other, collection, ours), _asked(one, collection, theirs))
    differing: set[str] = set()
    renamed = False
    for asked, answers in ((ours, found[0]), (theirs, found[1])):
        differing |= _differing(asked, answers)
        renamed = renamed or _renamed(asked, answers)
    return Verdict(differing=frozenset(differing), renamed=renamed)


async def _sample(site: Site, collection: str, size: int) -> list[Members]:
    order = DEFAULT_ORDER if site.capabilities.sort else ()
    query = Query(collections=(collection,), sortby=order, limit=size)
    items: list[Members] = []
    position: str | None = None
    while len(items) < size:
        batch = await site.catalogue.search(query, limit=size - len(items), after=position)
        items += batch.items
        position = batch.next
        if position is None or not batch.items:
            break
    return items[:size]


async def _asked(site: Site, collection: str, sample: Sequence[Members]) -> list[Members]:
    """Return what the site holds of the ids of a sample, and of its bytes where checksums tell them."""
    facts = [(item, known) for item in sample if (known := facts_of(item)) is not None]
    windows = [
        window_of(item, span)
        for item, known in facts
        if _marks(identify(item, "replica")) and (span := covered_span(known)) is not None
    ]
    most = len(windows) if site.capabilities.filter else MAX_REQUESTS - 1  # else one request each; a sample will do
    ask = Ask(
        ids=tuple(dict.fromkeys(known.id for _, known in facts)),
        windows=united(windows)[:most],
        id_collections=(collection,),
        window_collections=(collection,),
    )
    return await probe(site, ask)


def _marks(identity: Identity) -> set[Token]:
    return {token for token in identity.tokens if token[0] == "bytes"}


def _names(identity: Identity) -> set[Token]:
    return {token for token in identity.tokens if token[0] == "item"}


def _differing(sample: Iterable[Members], answers: Iterable[Members]) -> set[str]:
    """Return the properties by which items of the same id would stand at different places of some order."""
    ours = {name: item for item in sample for name in _names(identify(item, "replica"))}
    found: set[str] = set()
    for item in answers:
        for name in _names(identify(item, "replica")) & ours.keys():
            mine, theirs = _properties(ours[name]), _properties(item)
            found |= {field for field in mine.keys() | theirs.keys() if _place(field, mine) != _place(field, theirs)}
    return found


def _properties(item: Members) -> dict[str, object]:
    try:
        return _PROPERTIES.decode(item["properties"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # a value that is no text: it has no place in any order either


def _place(field: str, properties: dict[str, object]) -> tuple[int, object]:
    return rank(field, properties.get(field), descending=False)


def _renamed(sample: Iterable[Members], answers: Iterable[Members]) -> bool:
    ours: dict[Token, set[Token]] = {}
    for identity in (identify(item, "replica") for item in sample):
        for mark in _marks(identity):
            ours.setdefault(mark, set()).update(_names(identity))
    theirs = (identify(item, "replica") for item in answers)
    return any(
        mark in ours and len(ours[mark] | _names(identity)) > 1 for identity in theirs for mark in _marks(identity)
    )
