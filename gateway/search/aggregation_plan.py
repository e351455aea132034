"""Who counts what: each site the collections that it alone holds, and the gateway what several hold. Pure."""

import msgspec

from edges.model import Frozen, Query
from edges.stac.aggregation import Wanted


class CountingSite(Frozen):
    """What planning needs to know of a site. ``counts`` are the aggregations that it may be asked for."""

    id: str
    collections: frozenset[str] | None
    available: bool
    counts: frozenset[str]
    filter: bool


class Share(Frozen):
    """What one site is asked to count."""

    site: str
    query: Query


class Shares(Frozen):
    """``pushed`` to the sites; ``rest`` is counted here, None where nothing is left. ``why`` tells by site."""

    pushed: tuple[Share, ...]
    rest: Query | None
    why: dict[str, str]


def shares(query: Query, wanted: Wanted, sites: tuple[CountingSite, ...]) -> Shares:
    """Divide a query so that nothing is counted twice: copies are found only where items are looked at."""
    asked = tuple(site for site in sites if (query.sites is None or site.id in query.sites) and site.available)
    why = {site.id: _why_not(query, wanted, site) for site in asked}
    unknown = any(site.collections is None for site in asked)
    if query.dedup in ("product", "observation") or unknown:
        reason = "a site's collections are not known" if unknown else f"copies are looked for by {query.dedup}"
        return Shares(pushed=(), rest=query, why=dict.fromkeys(why, reason))
    pushed, given = list[Share](), set[tuple[str, str]]()
    holders = {site.id: _concerned(query, site) for site in asked}
    for site in asked:
        own = _alone(site.id, holders) if query.dedup == "replica" else holders[site.id]
        if own and not why[site.id]:
            part = msgspec.structs.replace(query, collections=tuple(sorted(own)), sites=None)
            pushed.append(Share(site=site.id, query=part))
            given |= {(site.id, name) for name in own}
        if not why[site.id]:
            why[site.id] = "other sites may hold copies" if own != holders[site.id] else ""
    left = {(site, name) for site, names in holders.items() for name in names} - given
    return Shares(pushed=tuple(pushed), rest=_rest(query, left), why=why)


def _rest(query: Query, left: set[tuple[str, str]]) -> Query | None:
    if not left:
        return None
    sites = tuple(sorted({site for site, _ in left}))
    return msgspec.structs.replace(query, collections=tuple(sorted({name for _, name in left})), sites=sites)


def walked_instead(rest: Query | None, failed: tuple[Share, ...]) -> Query | None:
    """Return what is counted here once some sites could not."""
    if not failed:
        return rest
    parts = [*([rest] if rest is not None else []), *(share.query for share in failed)]
    sites = {share.site for share in failed} | set((rest.sites if rest is not None else None) or ())
    names = {name for part in parts for name in part.collections or ()}
    return msgspec.structs.replace(parts[0], collections=tuple(sorted(names)), sites=tuple(sorted(sites)))


def _concerned(query: Query, site: CountingSite) -> frozenset[str]:
    held = site.collections or frozenset()
    return held if query.collections is None else held & set(query.collections)


def _alone(site: str, holders: dict[str, frozenset[str]]) -> frozenset[str]:
    others = frozenset[str]().union(*(names for each, names in holders.items() if each != site))
    return holders[site] - others


def _why_not(query: Query, wanted: Wanted, site: CountingSite) -> str:
    if not set(wanted.names) <= site.counts:
        return "it does not count this" if site.counts else "it does not aggregate"
    if query.filter is not None and not site.filter:
        return "it cannot evaluate the filter"
    return "free text is looked for here" if query.text is not None else ""
