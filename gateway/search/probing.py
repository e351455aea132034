"""Puts a probe to one site, within bounds on what may come back."""

import asyncio

import msgspec

from edges.errors import SiteMisbehaved
from edges.model import Members, Query
from edges.registry import Site
from gateway.search.probes import MAX_REQUESTS, Ask, requests_of

MAX_FOUND = 4_000
"""Items read of one request: more in a few windows of time and place is no honest answer."""
_MAX_PAGES = 50


async def probe(site: Site, ask: Ask, *, most: int = MAX_FOUND) -> list[Members]:
    """Return all that a site holds of what it is asked for, and what else it gives.

    Raises:
        EdgeError: it does not answer, or one request with more than ``most`` items.
    """
    requests = requests_of(ask, site.capabilities)
    if len(requests) > MAX_REQUESTS:
        raise SiteMisbehaved(site.id, f"it cannot filter, and would have to be asked {len(requests)} times")
    answers = await asyncio.gather(*(read(site, query, most=most) for query in requests))
    return [item for items in answers for item in items]


async def read(site: Site, query: Query, *, most: int) -> list[Members]:
    """Return all items of one request, over its pages.

    Raises:
        EdgeError: the site does not answer, or with more than ``most`` items.
    """
    limit = site.settings.catalogue.max_page
    items: list[Members] = []
    position: str | None = None
    for _ in range(_MAX_PAGES):
        batch = await site.catalogue.search(msgspec.structs.replace(query, limit=limit), limit=limit, after=position)
        items += batch.items
        position = batch.next
        if position is None:
            return items
        if len(items) > most:
            break
    raise SiteMisbehaved(site.id, f"more than {len(items)} items where copies were asked for")
