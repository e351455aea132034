"""Any provider that EODAG can search, as a :class:`edges.seams.Catalogue`.

EODAG searches one collection at a time, in calls that block. Here each runs in a thread with a deadline, and the pages
of several collections are merged by time where the provider sorts. Pushed down are collections, ids, space and time;
the caller evaluates the rest, and is told so by ``Batch.exact``.
"""

import asyncio
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edges.catalogues.eodag_hub_items import collection_of, item_of
from edges.catalogues.eodag_hub_provider import Answer, Ask, EodagConfigError, EodagProvider
from edges.catalogues.eodag_hub_query import NOTHING, native_of, reach_of
from edges.catalogues.eodag_hub_threads import BoundedThreads, undisturbed
from edges.catalogues.eodag_hub_trace import traced
from edges.errors import Conflict, SiteMisbehaved, SiteUnavailable
from edges.model import Batch, Capabilities, Frozen, Json, Members, Query
from edges.observing import CallObserver, NobodyLooksOn
from edges.settings import CatalogueSettings, EodagSettings
from edges.stac.order import Key, compile_key
from edges.turns import Turns

_MAX_IDS = 50
"""Ids of one search where a provider is asked for each of them apart; of one request where it is not."""
_MAX_IDS_TOGETHER = 500
"""Ids of one search where a provider can be asked for many at once."""
_PLAIN = re.compile(r"[A-Za-z0-9_.:~+-]{1,200}")
"""Ids that can be asked for together: the library writes others into its requests in other words than they are."""
_UNSAYABLE = re.compile(r"[\x00-\x1f\x7f\"'\\{}]")
"""What the library would write into a request as a part of the request's own words."""
T = TypeVar("T")


class _Place(Frozen):
    """Where one collection's walk stands: ``skip`` items of the page that ``token`` gives were given already."""

    collection: str
    token: Any = None
    token_key: str | None = None
    skip: int = 0


class _Position(Frozen):
    """The open collections, and the page size: tokens that count pages hold for one size only."""

    page: int
    places: tuple[_Place, ...]


class _Page(Frozen):
    """What a place gave: its items after ``skip``, and the place after all of them."""

    items: list[Members]
    whole: int
    following: _Place | None


_POSITION = msgspec.json.Decoder(_Position)
_log = logging.getLogger(__name__)


class EodagCatalogue:
    """A hub that EODAG searches, as often as its ``rate`` allows. ``state`` is a folder for the library's files."""

    def __init__(
        self, *, site: str, settings: CatalogueSettings, state: Path, observer: CallObserver | None = None
    ) -> None:
        if settings.eodag is None:
            raise ValueError(f"{site} has no provider of EODAG")
        self._site = site
        self._settings: EodagSettings = settings.eodag
        self._catalogue = settings
        self._folder = state / "eodag" / site
        self._threads = BoundedThreads(site=site, workers=settings.eodag.workers, seconds=settings.timeout_seconds)
        self._turns = Turns(
            site=site,
            connections=settings.connections,
            rate=settings.rate,
            patience=min(settings.wait_seconds, settings.timeout_seconds),
            observer=observer or NobodyLooksOn(),
        )
        self._idle: list[EodagProvider] = []
        self._collections: tuple[Json, ...] | None = None
        self._capabilities: Capabilities | None = None
        self._page = settings.max_page
        self._together = False
        self._looks_over_ids = False

    async def capabilities(self) -> Capabilities:
        """Tell that the provider is asked for time and space, and sorts by time where EODAG knows how."""
        if self._capabilities is None:
            sorts, largest, many = await self._run(
                lambda provider: (provider.sorts, provider.max_page, provider.finds_many)
            )
            self._together = many and not self._looks_over_ids
            self._page = min(largest, self._catalogue.max_page)
            most = _MAX_IDS_TOGETHER if self._together else _MAX_IDS
            self._capabilities = Capabilities(
                filter=True,
                sort=sorts,
                ties=False,
                post=False,
                sortable=frozenset({"datetime"}),
                ids_at_once=max(1, most // len(self._settings.collections)),
            )
        return self._capabilities

    async def collections(self) -> list[Json]:
        """Return the collections that the settings name, with what EODAG knows of them."""
        if self._collections is None:
            told = [collection_of(each) for each in await self._run(EodagProvider.collections)]
            known = {each["id"]: each for each in told}
            self._collections = tuple(
                known.get(name) or collection_of({"id": name}) for name in self._settings.collections
            )
        return list(self._collections)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Return one page. In the order of time where that is asked for; else collection after collection."""
        await self.capabilities()
        reach = reach_of(query)
        if reach is NOTHING:
            return Batch(items=[])
        names = await self._asked(query)
        if query.ids is not None:
            return await self._by_ids(query.ids, names)
        position = _Position(page=max(1, min(limit, self._page)), places=tuple(_Place(collection=n) for n in names))
        if after is not None:
            position = _POSITION.decode(after)
        ask = Ask(
            collection="", limit=position.page, start=reach.start, end=reach.end, geometry=reach.geometry,
            descending=query.sortby[0].descending if query.sortby else None, native=native_of(query),
        )  # fmt: skip
        open_places = position.places if query.sortby else position.places[:1]
        pages = await asyncio.gather(*(self._fetched(ask, place) for place in open_places))
        taken = _merged(pages, query, limit) if query.sortby else _first(pages, limit)
        items = [pages[index].items[number] for index, number in taken]
        left = [*_left(open_places, pages, taken), *position.places[len(open_places) :]]
        following = msgspec.structs.replace(position, places=tuple(left))
        return Batch(items=items, next=msgspec.json.encode(following).decode() if left else None, exact=False)

    async def item(self, collection: str, item_id: str) -> Members | None:
        """Return one item: the provider is searched for its id."""
        if _UNSAYABLE.search(item_id) or collection not in await self._known():
            return None
        answer = await self._searched(Ask(collection=collection, limit=1, item_id=item_id))
        return next((item for item in _items(answer) if msgspec.json.decode(item["id"]) == item_id), None)

    async def put_collection(self, collection: Json) -> None:
        raise Conflict(f"{self._site}: a hub of EODAG is read only")

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        raise Conflict(f"{self._site}: a hub of EODAG is read only")

    async def delete_item(self, collection: str, item_id: str) -> bool:
        raise Conflict(f"{self._site}: a hub of EODAG is read only")

    async def _known(self) -> list[str]:
        return [str(each["id"]) for each in await self.collections()]

    async def _asked(self, query: Query) -> list[str]:
        known = await self._known()
        return known if query.collections is None else [name for name in query.collections if name in known]

    async def _by_ids(self, ids: Sequence[str], names: Sequence[str]) -> Batch:
        if self._together and all(map(_PLAIN.fullmatch, ids)) and len(ids) * len(names) <= _MAX_IDS_TOGETHER:
            size = min(_MAX_IDS, self._page)
            chunks = [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]
            pages = await asyncio.gather(*(self._of_ids(name, chunk) for name in names for chunk in chunks))
            if self._together:
                return Batch(items=[item for page in pages for item in page], exact=False)
        if len(ids) * len(names) > _MAX_IDS:
            raise SiteUnavailable(
                self._site, f"it is asked for ids one by one: at most {_MAX_IDS} of ids times collections"
            )
        found = await asyncio.gather(*(self.item(name, item_id) for name in names for item_id in ids))
        return Batch(items=[item for item in found if item is not None], exact=False)

    async def _of_ids(self, name: str, ids: tuple[str, ...]) -> list[Members]:
        """Ask for many ids at once, as long as nothing else comes: a provider may look over what it does not know."""
        answer = await self._searched(Ask(collection=name, limit=len(ids), ids=ids))
        items = _items(answer)
        missing = set(ids).difference(msgspec.json.decode(item["id"]) for item in items)
        if len(missing) + len(items) > len(ids):
            _log.warning("a provider looks over ids, and is asked for them one by one", extra={"site": self._site})
            self._together, self._looks_over_ids, self._capabilities = False, True, None
        elif missing and answer.token is not None:  # its pages are smaller than it says
            found = await asyncio.gather(*(self.item(name, each) for each in sorted(missing)))
            items += [item for item in found if item is not None]
        return items

    async def _fetched(self, ask: Ask, place: _Place) -> _Page:
        asked = msgspec.structs.replace(ask, collection=place.collection, token=place.token, token_key=place.token_key)
        answer = await self._searched(asked)
        items = _items(answer)
        following = None
        if answer.token is not None and answer.products:
            if answer.token == place.token:
                raise SiteMisbehaved(self._site, "its paging runs in a circle")
            following = _Place(collection=place.collection, token=answer.token, token_key=answer.token_key)
        return _Page(items=items[place.skip :], whole=len(items), following=following)

    async def _searched(self, ask: Ask) -> Answer:
        """Make one search in its turn: each is a request to the provider, which has a budget like any site."""
        async with self._turns.turn():
            return await traced(self._site, ask, self._run(lambda provider: provider.search(ask)))

    async def _run(self, call: Callable[[EodagProvider], T]) -> T:
        """Run a call with a session of its own, kept for the next one: sessions are dear, and not for two at once."""

        def work() -> T:
            provider = self._idle.pop() if self._idle else self._opened()
            try:
                return undisturbed(lambda: call(provider))
            finally:
                self._idle.append(provider)

        return await self._threads.run(work)

    def _opened(self) -> EodagProvider:
        try:
            return EodagProvider(
                site=self._site,
                settings=self._settings,
                folder=self._folder,
                timeout_seconds=self._catalogue.timeout_seconds,
            )
        except (EodagConfigError, LookupError, OSError) as error:
            raise SiteMisbehaved(self._site, f"EODAG cannot be used: {error}") from error


def _items(answer: Answer) -> list[Members]:
    return [item for item in map(item_of, answer.products) if item is not None]


def _first(pages: Sequence[_Page], limit: int) -> list[tuple[int, int]]:
    return [(0, number) for number in range(min(limit, len(pages[0].items)))] if pages else []


def _merged(pages: Sequence[_Page], query: Query, limit: int) -> list[tuple[int, int]]:
    """Return which items come first, as (page, number): no further than where a page ends that is not the last.

    What is taken of a page is always its beginning, also where times are equal or a provider mixes them up: else a
    place in the page could not say what was given.
    """
    key = compile_key(query.sortby[:1])
    heads: list[tuple[Key, int, int]] = []
    ends: list[tuple[Key, int, int]] = []
    for index, page in enumerate(pages):
        ranks = itertools.accumulate(map(key, page.items), max)
        heads += [(rank, index, number) for number, rank in enumerate(ranks)]
        if page.following is not None:
            ends.append(heads[-1] if page.items else ((), -1, -1))
    stop = min(ends, default=None)
    ready = itertools.takewhile(lambda head: stop is None or head <= stop, sorted(heads))
    return [(index, number) for _, index, number in itertools.islice(ready, limit)]


def _left(places: Sequence[_Place], pages: Sequence[_Page], taken: Iterable[tuple[int, int]]) -> list[_Place]:
    """Return where the collections stand after what was taken."""
    counts = [0] * len(pages)
    for index, _ in taken:
        counts[index] += 1
    left = []
    for place, page, count in zip(places, pages, counts, strict=True):
        if count < len(page.items):
            left.append(msgspec.structs.replace(place, skip=place.skip + count))
        elif page.following is not None:
            left.append(page.following)
    return left
