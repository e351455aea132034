"""Claims on objects and items: who works on what, until when. Each function runs inside one transaction.

A claim carries a fence that grows with each taking; every later write names it, so that whoever was taken
over cannot write any more (:class:`harvest.errors.ClaimLost`).
"""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from edges.model import Part
from harvest.database import Connection, Row
from harvest.errors import ClaimLost
from harvest.model import Integrity, ObjectState, Source, Value
from harvest.states import ObjectEvent, object_after

LOST = "the work was cancelled, or another worker has taken it over"

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""A NUL in a JSON text: both engines would end or refuse a text there, and catalogues may tell any."""

_SOURCES = msgspec.json.Decoder(tuple[Source, ...])
_SOURCE = msgspec.json.Decoder(Source)


class ObjectClaim(Value, frozen=True):
    """An object that a worker has taken, as its row stood then. Sizes in bytes."""

    id: int
    target: str
    key: str
    collection: str
    item_id: str
    asset: str
    state: ObjectState
    sources: tuple[Source, ...]
    size: int | None
    checksum: str | None
    integrity: Integrity
    version: str
    upload_id: str | None
    part_bytes: int
    source: Source | None
    validator: str | None
    total: int | None
    done: int
    hash_state: bytes | None
    digest: str | None
    attempts: int
    fence: int
    visible: int

    def after(self, event: ObjectEvent) -> ObjectState:
        """Return the state that follows, by the table."""
        return object_after(self.state, event)


class ItemClaim(Value, frozen=True):
    """An item that is ready to be registered. ``changed`` is told back when it has been."""

    id: int
    target: str
    collection: str
    item_id: str
    doc: bytes
    changed: int
    attempts: int
    fence: int


class CopiedAsset(Value, frozen=True):
    """One asset of an item that is at the target. ``checksum`` is a multihash, if one is known; ``size`` in bytes."""

    asset: str
    key: str
    size: int
    checksum: str | None
    source: Source


Scope = str | None
"""Whose objects are given out: one order's, or (None) those of all orders that are carried out here."""

SMALL = 1 << 20
"""Bytes up to which objects are taken several at once."""

SMALL_TOGETHER = 4 << 20
"""Bytes of objects that are taken at once, at most: each of them is held for a moment."""


def is_small(claim: ObjectClaim) -> bool:
    """Tell whether a claim is on one of many objects that are taken together."""
    return claim.state != "DELETING" and claim.size is not None and claim.size <= SMALL


def as_rows(values: Iterable[Sequence[Any]]) -> str:
    r"""Return values as the queries of ``queries_together.sql`` take them.

    >>> as_rows([(1, 2), (3, None)]), as_rows([("a\0", "\\u0000")])
    ('{"0":[1,2],"1":[3,null]}', '{"0":["a\\ufffd","\\\\u0000"]}')
    """
    text = msgspec.json.encode({str(number): value for number, value in enumerate(values)}).decode()
    return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def sizes_before(rows: Sequence[Row]) -> list[int]:
    """Return for each object how many bytes those before it have.

    >>> sizes_before([{"size": 3}, {"size": 4}, {"size": 5}])
    [0, 3, 7]
    """
    return list(accumulate((row["size"] for row in rows[:-1]), initial=0)) if rows else []


def object_of(row: Row) -> ObjectClaim:
    """Return a claim as its whole row tells it."""
    return object_from({name: row[name] for name in ObjectClaim.__struct_fields__})


def object_from(kept: dict[str, Any]) -> ObjectClaim:
    """Return a claim from what is kept of it, which is used up."""
    kept["sources"] = _SOURCES.decode(kept["sources"])
    kept["source"] = _SOURCE.decode(kept["source"]) if kept["source"] else None
    return ObjectClaim(**kept)


def current(connection: Connection, object_id: int, fence: int) -> ObjectClaim:
    """Return a claim as its row stands now; raise ClaimLost where it is another's."""
    row = connection.one("object_claimed", id=object_id)
    if row is None or row["fence"] != fence:
        raise ClaimLost(LOST)
    return object_of(row)


def renew_object(connection: Connection, claim: ObjectClaim, until: float) -> None:
    """Keep a claim alive."""
    _fenced(connection, "object_renew", id=claim.id, fence=claim.fence, until=until)


def begin_upload(
    connection: Connection, claim: ObjectClaim, upload_id: str, part_bytes: int, total: int | None
) -> None:
    """Remember an upload that has been created, and of what."""
    claim.after("begin")
    source = msgspec.json.encode(claim.source).decode()
    values = {"source": source, "validator": claim.validator, "total": total, "part_bytes": part_bytes}
    connection.change("parts_forget", id=claim.id)
    _fenced(connection, "object_began", id=claim.id, fence=claim.fence, upload_id=upload_id, **values)


def part_done(connection: Connection, claim: ObjectClaim, part: Part, done: int, hash_state: bytes | None) -> bool:
    """Remember a part that the store has confirmed, and the hash of everything up to its end; tell if it is new."""
    _fenced(connection, "object_part_done", id=claim.id, fence=claim.fence, done=done, hash_state=hash_state)
    values = {"number": part.number, "etag": part.etag, "size": part.size}
    if connection.one("part_known", id=claim.id, **values) is not None:
        return False
    crc = None if part.crc64nvme is None else f"{part.crc64nvme:016x}"
    connection.change("part_insert", id=claim.id, crc=crc, **values)
    return True


def count_moved(connection: Connection, claim: ObjectClaim, size: int, now: float) -> None:
    """Charge bytes that were transferred to the order that pays for the object."""
    connection.change("order_moved", object=claim.id, size=size, now=now)


def parts_of(connection: Connection, claim: ObjectClaim) -> list[Part]:
    """Return the parts that were remembered, by number."""
    rows = connection.all("parts_of", id=claim.id)
    return [
        Part(
            number=row["number"],
            etag=row["etag"],
            size=row["size"],
            crc64nvme=None if row["crc64nvme"] is None else int(row["crc64nvme"], 16),
        )
        for row in rows
    ]


def forget_upload(connection: Connection, claim: ObjectClaim) -> None:
    """Forget an upload that has been discarded."""
    _fenced(connection, "object_discarded", id=claim.id, fence=claim.fence)
    connection.change("parts_forget", id=claim.id)


def checked(connection: Connection, claim: ObjectClaim, total: int, digest: str | None) -> None:
    """Remember that all bytes came and are right."""
    claim.after("check")
    source = msgspec.json.encode(claim.source).decode()
    values = {"total": total, "digest": digest, "source": source}
    _fenced(connection, "object_checked", id=claim.id, fence=claim.fence, **values)


def available(connection: Connection, claim: ObjectClaim, now: float) -> None:
    """Note that the object, which went up in parts, can be read at the target: its item has to be registered."""
    _fenced(connection, "object_available", id=claim.id, fence=claim.fence, now=now)
    connection.change("parts_forget", id=claim.id)
    connection.change("item_changed", id=claim.id)


def ended(connection: Connection, claim: ObjectClaim, event: ObjectEvent, reason: str, now: float) -> None:
    """Nothing more will be tried for the object, and why."""
    values = {"state": claim.after(event), "reason": reason, "now": now}
    _fenced(connection, "object_ended", id=claim.id, fence=claim.fence, **values)
    connection.change("parts_forget", id=claim.id)


def put_off(connection: Connection, claim: ObjectClaim, event: ObjectEvent, reason: str, not_before: float) -> None:
    """Give a claim back, to be taken up again later."""
    state = claim.state if claim.state == "DELETING" else claim.after(event)
    values = {"state": state, "reason": reason, "not_before": not_before}
    _fenced(connection, "object_put_off", id=claim.id, fence=claim.fence, **values)


def forget_object(connection: Connection, claim: ObjectClaim) -> None:
    """Drop an object that nobody wants any more, or take it up again where somebody has come to want it."""
    connection.change("object_forget", id=claim.id, fence=claim.fence)


def item_put_off(connection: Connection, claim: ItemClaim, reason: str, not_before: float, *, failed: bool) -> None:
    """Note that the catalogue did not take the item: try later, or (``failed``) never again."""
    values = {"reason": reason, "not_before": not_before, "failed": int(failed)}
    _fenced(connection, "item_put_off", id=claim.id, fence=claim.fence, **values)


def _fenced(connection: Connection, name: str, **values: Any) -> None:
    if not connection.change(name, **values):
        raise ClaimLost(LOST)


def as_json(sources: Sequence[Source]) -> str:
    """Return sources as they are kept."""
    return msgspec.json.encode(list(sources)).decode()
