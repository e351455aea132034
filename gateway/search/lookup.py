"""One item by its name: all sites that may hold it are asked at once."""

import asyncio

import msgspec

from edges.errors import EdgeError, SiteMisbehaved, SiteNotAsked, SiteUnavailable
from edges.hops import came_around
from edges.model import Members, Query
from edges.registry import Registry, Site
from edges.stac.matching import compile_query
from edges.stac.order import TIE_BREAKS, compile_values
from gateway.search.merge import Group, Row
from gateway.search.sight import Sight


async def look_up(registry: Registry, wanted: Query, sight: Sight, *, seconds: float) -> tuple[Group, list[EdgeError]]:
    """Return the copies of an item, and the failures of sites that may hold one too.

    ``wanted`` names one collection and one id, the sites that may be asked, and whether to tell the provenance.
    """
    (collection,), among = wanted.collections or (), wanted.sites
    sites = [
        site
        for site in registry.sites()
        if not came_around()
        and (among is None or site.id in among)
        and sight.sees(site.id, collection)
        and (site.collection_ids is None or collection in site.collection_ids)
    ]
    answers = await asyncio.gather(*(_asked(registry, site, wanted, seconds) for site in sites))
    group = [
        Row(key=(), site=site.id, item=answer)
        for site, answer in zip(sites, answers, strict=True)
        if isinstance(answer, dict)
    ]
    return group, [answer for answer in answers if isinstance(answer, EdgeError)]


async def _asked(registry: Registry, site: Site, wanted: Query, seconds: float) -> Members | EdgeError | None:
    """Ask a site that may be asked, and note how it did."""
    if not site.admitted:
        return SiteUnavailable(site.id, f"left out: {site.pulse.reason}", code="breaker")
    registry.asking(site.id)
    answer = await _item_at(site, wanted, seconds)
    if not isinstance(answer, EdgeError):
        registry.succeeded(site.id)
    elif not isinstance(answer, SiteNotAsked):
        registry.failed(site.id, str(answer))
    return answer


async def _item_at(site: Site, wanted: Query, seconds: float) -> Members | EdgeError | None:
    try:
        async with asyncio.timeout(seconds):
            found = await _found(site, wanted)
    except TimeoutError:
        return SiteUnavailable(site.id, f"no answer within {seconds:g} s", code="timeout")
    except EdgeError as error:
        return error
    if found is not None and not _is_item(found, wanted):
        return SiteMisbehaved(site.id, "it answered with something else than the item")
    return found


async def _found(site: Site, wanted: Query) -> Members | None:
    if wanted.provenance:  # only a search can be asked for it
        batch = await site.catalogue.search(wanted, limit=1)
        return next(iter(batch.items), None)
    (collection,), (item_id,) = wanted.collections or (), wanted.ids or ()
    return await site.catalogue.item(collection, item_id)


def _is_item(found: Members, wanted: Query) -> bool:
    """Tell whether a site has answered with the item that it was asked for."""
    try:
        compile_values(TIE_BREAKS)(found)  # its properties are an object
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return compile_query(wanted)(found)
