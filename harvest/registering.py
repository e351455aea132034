"""What is kept about items in catalogues. Each function runs inside one transaction."""

from collections.abc import Mapping

import msgspec

from edges.model import Json
from harvest.claims import CopiedAsset, ItemClaim, copies_of
from harvest.database import Connection
from harvest.model import Value

BATCH = 50
"""Items that are told to a catalogue at once."""


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
    rows = connection.all("item_claimable", now=now, limit=BATCH)
    alike = [row for row in rows if (row["target"], row["collection"]) == (rows[0]["target"], rows[0]["collection"])]
    taken = [connection.one("item_claim", id=row["id"], until=until) for row in alike]
    return [
        ItemClaim(**{name: row[name] for name in ItemClaim.__struct_fields__} | {"doc": row["doc"].encode()})
        for row in taken
        if row is not None
    ]


def entry_of(connection: Connection, claim: ItemClaim) -> Entry:
    """Return what is known of an item."""
    row = connection.one("item_entry", id=claim.id)
    before = row["before"] if row is not None else None
    untils = connection.all("item_untils", id=claim.id)
    return Entry(
        copied=tuple(copies_of(connection, claim)),
        wanted=bool(row is not None and row["wanted"]),
        before=None if before is None else msgspec.json.decode(before),
        looked=before is not None,
        registered=bool(row is not None and row["registered"]),
        gone=tuple(each["key"] for each in connection.all("item_leaving", id=claim.id)),
        until={each["key"]: each["until"] for each in untils if each["until"] is not None},
    )


def remember_before(connection: Connection, found: Mapping[int, Json | None]) -> None:
    """Keep items, by id of their row, as the target had them (None: it had not); they are put back in the end."""
    for item, doc in found.items():
        connection.change("item_before", id=item, doc=msgspec.json.encode(doc).decode())
