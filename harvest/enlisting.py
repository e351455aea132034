"""A plan spread over items and objects. Each function runs inside one transaction, with one statement for many rows."""

import uuid
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from harvest.claims import as_json, as_rows
from harvest.database import Connection, Row
from harvest.model import Integrity, OrderRequest, Source
from harvest.orders import IN_FLIGHT, kept_name, same_bytes
from harvest.places import is_private
from harvest.planner import Wish
from harvest.wanted import MAX_SOURCES

ENLIST = 100
"""Planned items that are spread over objects in one transaction: others can write in between."""

_WISHES = msgspec.json.Decoder(tuple[Wish, ...])
_SOURCES = msgspec.json.Decoder(tuple[Source, ...])


class _Plan(NamedTuple):
    """What the rows of a plan up to ``seq`` have in common."""

    order: str
    seq: int
    target: str
    created: float
    integrity: Integrity


class _Wished(NamedTuple):
    """A wish for an object, and the row of its item."""

    item: int
    wish: Wish


class _Link(NamedTuple):
    """An object that an order counts on: what it was estimated at, and what is reserved for it, in bytes."""

    object: int
    estimate: int
    reserved: int


def enlist(connection: Connection) -> int:
    """Spread some planned items over items and objects; return how many."""
    order = connection.one("planned_order", limit=ENLIST)
    if order is None:
        return 0
    asked = msgspec.json.decode(order["request"], type=OrderRequest)
    plan = _Plan(order["id"], order["seq"], order["target"], order["created"], asked.integrity)
    rows = _items(connection, plan)
    wished: list[_Wished] = []
    for row in rows:
        wishes = _WISHES.decode(row["wishes"])
        wished += [_Wished(row["item"], wish) for wish in wishes]
        if not wishes:  # only the item is wanted
            connection.change("item_dirty", id=row["item"])
    _objects(connection, plan, wished)
    connection.change("planned_done_to", order_id=plan.order, seq=plan.seq)
    return len(rows)


def _items(connection: Connection, plan: _Plan) -> Sequence[Row]:
    """Keep the items of a plan as they were found last, and count the order among who wants them; return its rows."""
    span = {"order_id": plan.order, "seq": plan.seq}
    unnamed = connection.all("planned_unnamed", **span)
    if unnamed:
        names = [(row["seq"], *kept_name(msgspec.json.decode(row["doc"]))) for row in unnamed]
        connection.change("planned_name", order_id=plan.order, rows=as_rows(names))
    connection.change("items_keep", target=plan.target, **span)
    connection.change("items_link", target=plan.target, **span)
    return connection.gathered("planned_items", target=plan.target, **span)


def _objects(connection: Connection, plan: _Plan, wished: Sequence[_Wished]) -> None:
    """Keep what is wished for, and what the order counts on: what is new at once, the others each by itself."""
    keys = as_rows([(each.wish.wanted.key,) for each in wished])
    there = {row["key"] for row in connection.gathered("objects_by_key", target=plan.target, rows=keys)}
    new: dict[str, _Wished] = {}
    for each in wished:
        if each.wish.wanted.key not in there:
            new.setdefault(each.wish.wanted.key, each)
    if new:
        _insert(connection, plan, new.values())
    links = [_known(connection, plan, each) for each in wished if new.get(each.wish.wanted.key) is not each]
    if links:
        connection.change("objects_link", order_id=plan.order, rows=as_rows(links))


def _insert(connection: Connection, plan: _Plan, new: Collection[_Wished]) -> None:
    first = uuid.uuid4().hex[:24]  # one draw for all: each of them a name of its own by its number
    values = [_values(each, f"{first}{number:08x}") for number, each in enumerate(new)]
    columns = ("key", "item", "asset", "media_type", "sources", "size", "checksum", "version")
    rows = as_rows([[value[name] for name in columns] for value in values])
    connection.change("objects_insert", rows=rows, target=plan.target, payer=plan.order, integrity=plan.integrity)
    counted = as_rows([(each.wish.wanted.key, each.wish.estimate) for each in new])
    connection.change("objects_link_new", order_id=plan.order, target=plan.target, rows=counted)


def _values(each: _Wished, version: str) -> dict[str, Any]:
    wanted = each.wish.wanted
    return {
        "key": wanted.key,
        "asset": wanted.asset,
        "item": each.item,
        "sources": as_json(wanted.sources),
        "size": wanted.size,
        "checksum": wanted.checksum,
        "media_type": wanted.media_type,
        "version": version,
    }


def _known(connection: Connection, plan: _Plan, each: _Wished) -> _Link:
    """Let an object that was wished for before serve this wish too, or be brought anew."""
    there = connection.one("object_by_key", target=plan.target, key=each.wish.wanted.key)
    object_id, estimate = int(there["id"]), each.wish.estimate
    if _shared(there, each.wish, plan.created):
        known = _SOURCES.decode(there["sources"])
        more = tuple(dict.fromkeys([*known, *each.wish.wanted.sources]))[:MAX_SOURCES]
        connection.change("object_add_sources", id=object_id, sources=as_json(more))
        return _Link(object_id, estimate, estimate if there["payer"] == plan.order else 0)
    values = {name: value for name, value in _values(each, uuid.uuid4().hex).items() if name not in {"key", "asset"}}
    connection.change("object_want_again", id=object_id, payer=plan.order, integrity=plan.integrity, **values)
    return _Link(object_id, estimate, estimate)


def _shared(there: Row, wish: Wish, ordered: float) -> bool:
    """Tell whether the work on an object, going on or just done, serves this wish too."""
    if not same_bytes(there, wish):
        return False
    if there["state"] in IN_FLIGHT:
        return True
    fresh = (there["finished"] or 0.0) >= ordered or bool(there["unregistered"]) or is_private(there["target"])
    return bool(there["state"] == "AVAILABLE" and fresh)
