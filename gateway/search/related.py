"""The other productions of one item's scene, wherever they are: all sites are asked at once, within the time given."""

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from edges.errors import EdgeError
from edges.model import Dedup, Members
from edges.registry import Site
from gateway.search.identity import identify, relation
from gateway.search.merge import Group, Row
from gateway.search.probes import Ask, Window, window_of
from gateway.search.probing import probe
from gateway.search.sifting import MAX_COPIES
from gateway.search.sight import Sight

_log = logging.getLogger(__name__)

_TEXT = msgspec.json.Decoder(str)

ELSEWHERE = (1,)
"""The key of a copy that is another item, where the item that was asked for has an empty one."""


async def related_to(group: Group, sites: Iterable[Site], sight: Sight, *, level: Dedup, seconds: float) -> Group:
    """Return the copies of an item on this rung that are other items; a site that does not answer adds none."""
    identities = [identify(row.item, level) for row in group]
    windows: list[Window] = [
        window_of(row.item, identity.scene.around)
        for row, identity in zip(group, identities, strict=True)
        if identity.scene is not None
    ]
    if not windows:
        return []
    asked = [site for site in sites if site.admitted and sight.seen(site.id, site.collection_ids) != frozenset()]
    asks = [Ask(windows=tuple(windows), window_collections=_collections(site, sight)) for site in asked]
    answers = await asyncio.gather(*(_asked(*each, seconds) for each in zip(asked, asks, strict=True)))
    found: dict[tuple[str, bytes, bytes], Row] = {}
    for site, items in zip(asked, answers, strict=True):
        for item in items:
            if sight.narrows(site.id) and not sight.sees(site.id, _TEXT.decode(item["collection"])):
                continue
            identity = identify(item, level)
            own = any(token[0] == "item" and token in each.tokens for each in identities for token in identity.tokens)
            if not own and any(relation(each, identity) is not None for each in identities):
                name = (site.id, bytes(item["collection"]), bytes(item["id"]))
                found[name] = Row(key=ELSEWHERE, site=site.id, item=item)
    return list(found.values())[:MAX_COPIES]


def _collections(site: Site, sight: Sight) -> tuple[str, ...] | None:
    """Return the collections that a site may be asked for, None for all."""
    seen = sight.seen(site.id, site.collection_ids)
    return None if seen is None or seen == site.collection_ids else tuple(sorted(seen))


async def _asked(site: Site, ask: Ask, seconds: float) -> list[Members]:
    try:
        async with asyncio.timeout(seconds):
            return await probe(site, ask)
    except (TimeoutError, EdgeError) as error:
        _log.info("site not asked for copies", extra={"site": site.id, "reason": str(error)[:300]})
        return []
