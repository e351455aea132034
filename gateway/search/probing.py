"""Puts a probe to one site, within bounds on what may come back."""

import asyncio
from collections import Counter

import msgspec

from edges.errors import SiteMisbehaved
from edges.model import Members, Query
from edges.registry import Site
from gateway.search.probes import MAX_REQUESTS, Ask, requests_of

MAX_FOUND = 4_000
"""Items read in one probe: more in a few windows of time and place is no honest answer."""
_MAX_PAGES = 50


async def probe(site: Site, ask: Ask, *, most: int = MAX_FOUND, made: Counter[str] | None = None) -> list[Members]:
    """Return all that a site holds of what it is asked for, and what else it gives.

    The requests are counted in ``made``, by site.

    Raises:
        EdgeError: it does not answer, or with more than ``most`` items.
    """
    requests = requests_of(ask, site.capabilities)
    if len(requests) > MAX_REQUESTS:
        raise SiteMisbehaved(site.id, f"it cannot filter, and would have to be asked {len(requests)} times")
    found: list[Members] = []
    made = Counter() if made is None else made
    # All come to their end before one's error is told: none reads on alone.
    ends = await asyncio.gather(*(_read(site, query, found, most, made) for query in requests), return_exceptions=True)
    for error in ends:
        if error is not None:
            raise error
    return found


async def _read(site: Site, query: Query, found: list[Members], most: int, made: Counter[str]) -> None:
    """Add all items of one request, over its pages."""
    limit = site.settings.catalogue.max_page
    position: str | None = None
    for _ in range(_MAX_PAGES):
        made[site.id] += 1
        batch = await site.catalogue.search(msgspec.structs.replace(query, limit=limit), limit=limit, after=position)
        found += batch.items
        position = batch.next
        if len(found) > most:
            raise SiteMisbehaved(site.id, f"more than {most} items where copies were asked for")
        if position is None:
            return
    raise SiteMisbehaved(site.id, f"more than {_MAX_PAGES} pages where copies were asked for")
