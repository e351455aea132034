"""Checks by behaviour whether a catalogue keeps the order that it claims to keep.

Real catalogues ignore what they advertise, and answer 200. A wrong order that shows only on a later page has by then
cost items of earlier ones: so an order is tried, both ways round, before it is relied on.
"""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from edges.model import Frozen, Members, Query, SortKey
from edges.seams import Catalogue
from edges.stac.order import NAMING_FIELDS, Key, compile_key, compile_values, field_path, kind_of_value

SAMPLE = 20
"""Items looked at each way: where all of them tie, either order is right."""
_MOST_PAGES = 2 * SAMPLE
"""Pages that they may come in: some servers give empty ones with more behind them."""


class OrderTrust(Frozen):
    """How far an order can be relied on; ``ties``: also among equal values.

    ``kinds`` are the kinds of values that fields have at the site (``edges.stac.order.kind_of_value``), without null.
    """

    sort: bool
    ties: bool
    kinds: Mapping[str, frozenset[str]] = {}


@functools.lru_cache(maxsize=256)
def ranked_keys(order: tuple[SortKey, ...]) -> int:
    """Return how many leading keys are values, before the collection or id breaks ties."""
    return next((n for n, key in enumerate(order) if field_path(key.field) in NAMING_FIELDS), len(order))


def judge(keys: Sequence[Key], ranked: int) -> OrderTrust:
    """Judge keys in the order in which they came."""
    pairs = [(first, second) for first, second in itertools.pairwise(keys) if second < first]
    return OrderTrust(sort=all(first[:ranked] == second[:ranked] for first, second in pairs), ties=not pairs)


async def audit_order(catalogue: Catalogue, order: tuple[SortKey, ...]) -> OrderTrust:
    """Ask for the first items by an order and by its reverse, and judge what comes.

    Raises:
        SiteUnavailable, SiteMisbehaved: the catalogue does not answer.
    """
    ranked = ranked_keys(order)
    reverse = tuple(msgspec.structs.replace(key, descending=not key.descending) for key in order[:ranked])
    samples = await asyncio.gather(
        *(_sampled(catalogue, way + order[ranked:]) for way in (order[:ranked], reverse)),
        *(_sampled(catalogue, (way,)) for keys in (order[1:ranked], reverse[1:]) for way in keys),
    )
    if any(sample is None for sample in samples):
        return OrderTrust(sort=False, ties=False)
    told = [sample for sample in samples if sample is not None]
    judged = [
        judge(list(_keys(sample, way + order[ranked:])), ranked)
        for sample, way in zip(told, (order[:ranked], reverse), strict=False)
    ]
    return OrderTrust(
        sort=all(each.sort for each in judged),
        ties=all(each.ties for each in judged),
        kinds={field_path(key.field): _kinds(told, key) for key in order[:ranked]},
    )


def _kinds(samples: Sequence[Sequence[Members]], key: SortKey) -> frozenset[str]:
    """Return the kinds of a field's values: kinds do not mix in an order, so that both its ends show them all."""
    values = compile_values((key,))
    found: set[str] = set()
    for item in itertools.chain.from_iterable(samples):
        with contextlib.suppress(KeyError, msgspec.DecodeError, UnicodeDecodeError):
            found.add(kind_of_value(key.field, values(item)[0]))
    return frozenset(found - {"null"})


async def _sampled(catalogue: Catalogue, order: tuple[SortKey, ...]) -> list[Members] | None:
    """Return the first items; None where they do not come in so many pages: then nothing is known of them."""
    items: list[Members] = []
    position: str | None = None
    for _ in range(_MOST_PAGES):
        batch = await catalogue.search(Query(sortby=order, limit=SAMPLE), limit=SAMPLE - len(items), after=position)
        items += batch.items
        position = batch.next
        if position is None or len(items) >= SAMPLE:
            return items[:SAMPLE]
    return None


def _keys(items: Sequence[Members], order: tuple[SortKey, ...]) -> Iterator[Key]:
    """Yield the keys of what is an item: the rest has no place in any order, and is dropped from answers too."""
    key = compile_key(order)
    for item in items:
        with contextlib.suppress(KeyError, msgspec.DecodeError, UnicodeDecodeError):
            yield key(item)
