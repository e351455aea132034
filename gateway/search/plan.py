"""The plan of a search: which sites are asked for what, which are skipped and why. Pure."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from edges.audit import ranked_keys
from edges.model import Capabilities, Frozen, Json, Query, SortKey
from edges.stac.datetimes import format_instant, sortable_instant
from edges.stac.order import INSTANT_FIELDS, NAMING_FIELDS, field_path, kind_of_value, total_order
from gateway.search.cursor import Anchor
from gateway.search.free_text import TextScope

_LAST_CHARACTER = "\U0010ffff"
_SIFTED_SHARE = 250
"""Least items of a page where free text is looked for here: most of them will not hold the words."""
Kinds = Mapping[str, frozenset[str]]
_UNKNOWN: Kinds = {}
_ANYTHING = frozenset({"anything"})
_DATE_LENGTH = len("2010-01-09")


class SiteView(Frozen):
    """What planning needs to know of a site: ``collections`` are harmonised ids, None while unknown.

    ``text`` is what is left of the query's free text there, None where there is none or nothing is known.
    """

    id: str
    capabilities: Capabilities
    collections: frozenset[str] | None = None
    priority: int = 100
    available: bool = True
    reason: str = ""
    text: TextScope | None = None
    ignores: frozenset[str] = frozenset()
    """Parts of a query that the site was caught to ignore."""
    kinds: Mapping[str, frozenset[str]] = {}
    """The kinds of values that fields have there, as far as they are known."""
    narrowed: bool = False
    """Whether the site holds more than these collections, that must not be seen: it is asked for these only."""


class Skip(Frozen):
    """A site that is not asked, and why; ``failed``: its part of the answer is missing. ``code`` is one of few."""

    site: str
    reason: str
    failed: bool = False
    code: str = "not_concerned"


class Call(Frozen):
    """What one site is asked: its segments, one after the other, in pages of ``share`` items.

    ``sorted``: the site's order can be relied on. ``ties``: also among equal values of the asked order. ``holds``:
    the collections that the site tells of, None while unknown; items of others are not the site's to give.
    ``filtered``: the query's filter is pushed down. ``resumed``: a filter asks the site to go on where the last page
    ended, which ``bounded`` of the order's leading keys say. ``residual``: a part of the query is evaluated here.
    ``narrowed``: it holds more, that must not be seen.
    """

    site: str
    segments: tuple[Query, ...]
    share: int
    sorted: bool
    ties: bool
    residual: bool
    filtered: bool = False
    resumed: bool = False
    bounded: int = 0
    holds: frozenset[str] | None = None
    narrowed: bool = False


class Plan(Frozen):
    """All calls and all skips of one search, in one total ``order``."""

    order: tuple[SortKey, ...]
    calls: tuple[Call, ...]
    skips: tuple[Skip, ...]


def plan(query: Query, sites: tuple[SiteView, ...], anchor: Anchor | None) -> Plan:
    """Choose the sites that can hold matches, and what each is asked for."""
    order = total_order(query.sortby)
    skips = tuple(skip for skip in (_skip(query, site) for site in sites) if skip is not None)
    skipped = {skip.site for skip in skips}
    asked = tuple(site for site in sites if site.id not in skipped)
    share = fair_share(query.limit + 1, len(asked))
    calls = tuple(_call(query, order, site, anchor, share) for site in asked)
    return Plan(order=order, calls=calls, skips=skips)


def fair_share(limit: int, sites: int) -> int:
    """Return how many items to ask of each site at first: 1.6 times its expected share drains with p ~ 0.1 %."""
    return limit if sites <= 1 else min(limit, math.ceil(1.6 * limit / sites) + 2)


def _skip(query: Query, site: SiteView) -> Skip | None:
    if query.sites is not None and site.id not in query.sites:
        return Skip(site=site.id, reason="not in this catalogue")
    if not site.available:
        return Skip(site=site.id, reason=site.reason or "unavailable", failed=True, code="breaker")
    if query.collections is not None and site.collections is not None and not site.collections & set(query.collections):
        return Skip(site=site.id, reason="holds none of the collections")
    if site.narrowed and not site.collections:
        return Skip(site=site.id, reason="holds none of the collections")
    if site.text is not None and _narrowed(query, site) == ():
        return Skip(site=site.id, reason="none of its collections can hold the words")
    return None


def _call(query: Query, order: tuple[SortKey, ...], site: SiteView, anchor: Anchor | None, share: int) -> Call:
    can = site.capabilities
    whole = site.text is not None and site.text.whole
    text = query.text if can.text and site.text is not None and site.text.agreed else None
    by_site = can.sort and (can.ties or ranked_keys(order) > 0)
    pushed = msgspec.structs.replace(
        query,
        collections=_narrowed(query, site),
        sortby=order if by_site else (),
        filter=query.filter if can.filter else None,
        text=None if whole else text,
        sites=None,
        fields=None,
    )
    sifted = query.text != text and not whole
    resumes = anchor is not None and can.filter and by_site
    segments = after(pushed, order, anchor, ties=can.ties, kinds=site.kinds) if anchor and resumes else ()
    return Call(
        site=site.id,
        segments=segments or (pushed,),
        share=max(share, _SIFTED_SHARE) if sifted else share,
        sorted=by_site,
        ties=by_site and can.ties,
        residual=(query.filter is not None and not can.filter)
        or sifted
        or any(getattr(query, part, None) is not None for part in site.ignores),
        filtered=query.filter is not None and can.filter,
        resumed=segments not in ((), (pushed,)),
        bounded=_bounded(order, anchor, ties=can.ties, kinds=site.kinds) if anchor and resumes else 0,
        holds=site.collections,
        narrowed=site.narrowed,
    )


def _narrowed(query: Query, site: SiteView) -> tuple[str, ...] | None:
    possible = site.collections if site.text is None else site.text.collections
    if possible is not None and site.narrowed:
        possible &= site.collections or frozenset()
    if possible is None or (query.collections is None and possible == site.collections and not site.narrowed):
        return query.collections
    asked = sorted(possible) if query.collections is None else query.collections
    return tuple(name for name in asked if name in possible)


def after(
    query: Query, order: tuple[SortKey, ...], anchor: Anchor, *, ties: bool, kinds: Kinds = _UNKNOWN
) -> tuple[Query, ...]:
    """Return the queries that, one after the other, give what stands after the anchor (or little more).

    Nulls stand last, so that a first segment is the range of the first key and a second one its nulls: both are
    plain conjuncts that an index serves. Where the anchor is among those nulls, the next key takes the first one's
    place. What is not after the anchor is dropped where the answers are read.
    """
    pairs = _pairs(order, anchor, ties=ties, kinds=kinds)
    closed = len(pairs) < len(order) or anchor.within != ""
    if anchor.beginning and len(pairs) == len(anchor.values):
        pairs += _from_beginning(order[len(pairs)], anchor.beginning, ties=ties, kinds=kinds)
    while pairs and pairs[0][1] is None:
        query = _with(query, _is_null(pairs.pop(0)[0]))
    if not pairs:
        return (query,)
    (first, value), *rest = pairs
    conjuncts = [_compared(first, "<=" if first.descending else ">=", value)]
    if rest and not anchor.alone:  # else the few that are tied are sooner dropped here than sifted out there
        conjuncts.append(_any(_compared(first, "<>", value), *_beyond(rest, closed=closed)))
    segments = [_with(query, *conjuncts)]
    if field_path(first.field) not in NAMING_FIELDS:
        segments.append(_with(query, _is_null(first)))
    return tuple(segments)


def _pairs(order: tuple[SortKey, ...], anchor: Anchor, *, ties: bool, kinds: Kinds) -> list[tuple[SortKey, Any]]:
    """Return the leading keys, with the anchor's values, that the site can compare as we do."""
    known = zip(order, anchor.values, strict=False)  # a cursor may hold the leading values only
    return list(itertools.takewhile(lambda pair: _usable(*pair, ties=ties, kinds=kinds), known))


def _bounded(order: tuple[SortKey, ...], anchor: Anchor, *, ties: bool, kinds: Kinds) -> int:
    """Return how many leading keys the filter of :func:`after` says: among equal ones, what is before may come."""
    pairs = _pairs(order, anchor, ties=ties, kinds=kinds)
    first = next((place for place, (_, value) in enumerate(pairs) if value is not None), len(pairs))
    return min(first + 1, len(pairs)) if anchor.alone else len(pairs)


def _from_beginning(key: SortKey, beginning: str, *, ties: bool, kinds: Kinds) -> list[tuple[SortKey, str]]:
    """Return what stands in for a text of which only the beginning is known: all that begin so stand after it."""
    if field_path(key.field) in INSTANT_FIELDS or not _usable(key, beginning, ties=ties, kinds=kinds):
        return []
    return [(key, beginning + _LAST_CHARACTER if key.descending else beginning)]


def _usable(key: SortKey, value: Any, *, ties: bool, kinds: Kinds) -> bool:
    """Tell whether a site can compare with this value as we do: a filter tells nothing of other kinds of values."""
    field = field_path(key.field)
    if field in NAMING_FIELDS:
        return ties  # else it has other words for them, or no order among them
    if value is None:
        return True
    if kinds.get(field, _ANYTHING if field not in INSTANT_FIELDS else frozenset()) - {kind_of_value(field, value)}:
        return False  # also where the order could not be tried, and nothing is known
    if field in INSTANT_FIELDS:
        return isinstance(value, str) and _is_instant(value)
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_instant(text: str) -> bool:
    return sortable_instant(text) is not None


def _beyond(pairs: list[tuple[SortKey, Any]], *, closed: bool) -> list[Json]:
    """Return the alternatives of what stands after these values: without what was given already, unless closed."""
    (key, value), *rest = pairs
    if value is None:
        return [_all(_is_null(key), _any(*_beyond(rest, closed=closed)))] if rest else [_is_null(key)]
    sign = "<" if key.descending else ">"
    alternatives = [_compared(key, sign if rest or not closed else f"{sign}=", value)]
    if field_path(key.field) not in NAMING_FIELDS:
        alternatives.append(_is_null(key))
    if rest:
        alternatives.append(_all(_compared(key, "=", value), _any(*_beyond(rest, closed=closed))))
    return alternatives


def _is_null(key: SortKey) -> Json:
    return {"op": "isNull", "args": [{"property": field_path(key.field)}]}


def _compared(key: SortKey, sign: str, value: Any) -> Json:
    return {"op": sign, "args": [{"property": field_path(key.field)}, _literal(key.field, value)]}


def _literal(field: str, value: Any) -> Any:
    if field_path(field) not in INSTANT_FIELDS or not isinstance(value, str):
        return value
    instant = sortable_instant(value)
    return {"timestamp": value if instant is None or len(value) > _DATE_LENGTH else format_instant(instant)}


def _with(query: Query, *conjuncts: Json) -> Query:
    parts = ([query.filter] if query.filter is not None else []) + list(conjuncts)
    return msgspec.structs.replace(query, filter=_all(*parts))


def _all(*parts: Json) -> Json:
    return parts[0] if len(parts) == 1 else {"op": "and", "args": list(parts)}


def _any(*parts: Json) -> Json:
    return parts[0] if len(parts) == 1 else {"op": "or", "args": list(parts)}
