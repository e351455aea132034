"""What is kept about items in catalogues. Each function runs inside one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edges.model import Json
from harvest.claims import CopiedAsset, ItemClaim, as_rows, sizes_before
from harvest.database import Connection, Row
from harvest.model import Source, Value

_SOURCE = msgspec.json.Decoder(Source)

BATCH = 200
"""Items that are told to a catalogue at once, at most."""

BATCH_SIZE = 8 << 20
"""Characters of items that are told at once, at most, unless one alone has more: all of them are held for a moment."""


class Entry(Value, frozen=True):
    """What the database knows of an item at a target.

    ``before`` is the item as the target had it before our first copy; ``looked`` whether that is known, and
    ``registered`` whether the catalogue was ever told. ``wanted``: some order wants it in the
    catalogue without copies. ``gone`` are keys of copies that are being removed; ``until`` tells, by key, when
    a copy may go (epoch seconds), where it ever may.
    """

    copied: tuple[CopiedAsset, ...]
    wanted: bool
    before: Json | None
    looked: bool
    registered: bool
    gone: tuple[str, ...]
    until: Mapping[str, float]


def claim_items(connection: Connection, now: float, until: float) -> list[ItemClaim]:
    """Take items, all of one collection at one target, of which the catalogue has to be told."""
    rows = connection.gathered("item_claimable", now=now, limit=BATCH)
    alike = [row for row in rows if (row["target"], row["collection"]) == (rows[0]["target"], rows[0]["collection"])]
    alike = [row for row, before in zip(alike, sizes_before(alike), strict=True) if before < BATCH_SIZE]
    if not alike:
        return []
    ids = as_rows([(row["id"],) for row in alike])
    connection.change("items_claim", rows=ids, until=until)
    return [
        ItemClaim(**{name: row[name] for name in ItemClaim.__struct_fields__} | {"doc": row["doc"].encode()})
        for row in connection.gathered("items_claimed", rows=ids)
    ]


def entries_of(connection: Connection, claims: Sequence[ItemClaim]) -> list[Entry]:
    """Return what is known of items."""
    ids = as_rows([(claim.id,) for claim in claims])
    known = {row["id"]: row for row in connection.gathered("items_entries", rows=ids)}
    copied, gone = (
        _by_item(connection.gathered("items_copies", rows=ids)),
        _by_item(connection.gathered("items_keys_leaving", rows=ids)),
    )
    untils = _by_item(connection.gathered("items_untils", rows=ids))
    return [_entry(known.get(claim.id), copied[claim.id], gone[claim.id], untils[claim.id]) for claim in claims]


def _by_item(rows: Iterable[Row]) -> defaultdict[int, list[Row]]:
    found: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["item"]].append(row)
    return found


def _entry(row: Row | None, copied: Sequence[Row], gone: Sequence[Row], untils: Sequence[Row]) -> Entry:
    before = row["before"] if row is not None else None
    return Entry(
        copied=tuple(map(_copied, copied)),
        wanted=bool(row is not None and row["wanted"]),
        before=None if before is None else msgspec.json.decode(before),
        looked=before is not None,
        registered=bool(row is not None and row["registered"]),
        gone=tuple(each["key"] for each in gone),
        until={each["key"]: each["until"] for each in untils if each["until"] is not None},
    )


def _copied(row: Row) -> CopiedAsset:
    source = _SOURCE.decode(row["source"])
    return CopiedAsset(asset=row["asset"], key=row["key"], size=row["total"], checksum=row["digest"], source=source)


def remember_before(connection: Connection, found: Mapping[int, Json | None]) -> None:
    """Keep items, by id of their row, as the target had them (None: it had not); they are put back in the end."""
    docs = [(item, msgspec.json.encode(doc).decode()) for item, doc in found.items()]
    connection.change("items_before", rows=as_rows(docs))


def registered(connection: Connection, claims: Sequence[ItemClaim]) -> frozenset[int]:
    """Note that the catalogue knows the copies that were there when the claims were taken; return whose are lost."""
    told = as_rows([(claim.id, claim.fence, claim.changed) for claim in claims])
    if connection.change("items_registered", rows=told) == len(claims):
        return frozenset()
    return frozenset(claim.id for claim in claims) - {row["id"] for row in connection.gathered("items_held", rows=told)}
