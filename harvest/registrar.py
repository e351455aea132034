"""Copies become replicas: the target's catalogue learns where items' assets lie now, and where no longer."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from edges.errors import EdgeError, NotFound, SiteUnavailable
from edges.model import Json, Members
from edges.seams import WritableCatalogue
from harvest import claims
from harvest.claims import CopiedAsset, ItemClaim
from harvest.database import Connection, Journal
from harvest.errors import ClaimLost
from harvest.known_items import as_json, known_items
from harvest.registering import Entry, entries_of, registered, remember_before
from harvest.replica import Copy, Scheme, Standing, minimal_collection, replica_item
from harvest.seams import Describe, Place

logger = logging.getLogger(__name__)

ASKED = 50
"""Items that a catalogue is asked for at once: some are asked in an address, which has an end."""

Written = tuple[ItemClaim, Json | None]
"""An item and what the catalogue shall say of it: None, nothing."""


class Registrar:
    """Carries out claims on items, many at once. ``attempts`` refusals by the catalogue end the work on one."""

    def __init__(
        self,
        *,
        journal: Journal,
        places: Mapping[str, Place],
        describe: Describe,
        attempts: int,
    ) -> None:
        self._database = journal.database
        self._places = places
        self._describe = describe
        self._attempts = attempts
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint

    async def register(self, batch: Sequence[ItemClaim]) -> None:
        """Tell a catalogue of items of one collection. Failures are kept with the items."""
        try:
            await self._write(batch)
        except EdgeError as error:
            if len(batch) > 1 and not isinstance(error, SiteUnavailable):
                for claim in batch:  # one of them is refused: the others must not wait for it
                    await self.register([claim])
                return
            for claim in batch:
                await self._put_off(claim, error)

    async def _write(self, batch: Sequence[ItemClaim]) -> None:
        place = self._places[batch[0].target]
        if place.catalogue is not None:
            existing = await _existing(place.catalogue, batch)
            entries = await self._entries(batch, place, existing)
            await self._tell(place.catalogue, _written(batch, place, entries, existing))
        elif not place.owner:
            raise NotFound(f"{place.site}: the site has no catalogue that can be written")
        self._checkpoint("registered")
        lost = await self._database.run(lambda c: registered(c, batch))
        for claim in batch:
            if claim.id in lost:
                logger.info("an item was taken over", extra={"item": claim.item_id})
        self._checkpoint("registration-remembered")

    async def _entries(self, batch: Sequence[ItemClaim], place: Place, existing: Mapping[str, Json]) -> list[Entry]:
        """Return what is known of items; what a target had of its own is written down before it is changed."""

        def look(connection: Connection) -> tuple[list[Entry], bool]:
            entries = entries_of(connection, batch)
            native: dict[int, Json | None] = {}
            for number, (claim, entry) in enumerate(zip(batch, entries, strict=True)):
                if not entry.looked:
                    item = existing.get(claim.item_id)
                    native[claim.id] = None if item is None or _ours(item, place) else item
                    entries[number] = msgspec.structs.replace(entry, before=native[claim.id])
            if native:
                remember_before(connection, native)
            return entries, bool(native)

        entries, remembered = await self._database.run(look)
        if remembered:
            self._checkpoint("native-remembered")
        return entries

    async def _tell(self, catalogue: WritableCatalogue, written: Sequence[Written]) -> None:
        collection = written[0][0].collection if written else ""
        put = [item for _, item in written if item is not None]
        if put:
            try:
                await catalogue.put_items(collection, put)
            except NotFound:
                described = await self._describe(collection)
                await catalogue.put_collection(described or minimal_collection(collection, put))
                await catalogue.put_items(collection, put)
        for claim, item in written:
            if item is None:
                await catalogue.delete_item(collection, claim.item_id)

    async def _put_off(self, claim: ItemClaim, error: EdgeError) -> None:
        failed = not isinstance(error, SiteUnavailable) and claim.attempts + 1 >= self._attempts
        pause = min(300.0, 0.5 * 2.0**claim.attempts)
        extra = {"site": claim.target, "item": claim.item_id, "reason": str(error), "final": failed}
        logger.warning("an item could not be registered", extra=extra)
        later = self._clock() + pause

        def put_off(connection: Connection) -> None:
            claims.item_put_off(connection, claim, str(error), later, failed=failed)

        try:
            await self._database.run(put_off)
        except ClaimLost:
            logger.info("an item was taken over", extra={"item": claim.item_id})


def _written(
    batch: Sequence[ItemClaim], place: Place, entries: Sequence[Entry], existing: Mapping[str, Json]
) -> list[Written]:
    """Return what the catalogue shall say of each item of which it has anything to be told."""
    scheme = Scheme(name=place.site, endpoint=place.endpoint, bucket=place.bucket, region=place.region)
    written: list[Written] = []
    for claim, entry in zip(batch, entries, strict=True):
        if entry.copied or entry.wanted:
            copies = {each.asset: _copy(each, place, entry) for each in entry.copied}
            gone = frozenset(f"s3://{place.bucket}/{key}" for key in entry.gone)
            standing = Standing(existing=existing.get(claim.item_id), native=entry.before, gone=gone)
            written.append((claim, replica_item(msgspec.json.decode(claim.doc), copies, scheme, standing)))
        elif entry.registered and existing.get(claim.item_id) != entry.before:  # temporary copies changed nothing
            written.append((claim, entry.before))
    return written


def _ours(existing: Json, place: Place) -> bool:
    """Tell whether an item at the target was put there, or changed, by a harvest."""
    schemes = (existing.get("properties") or {}).get("storage:schemes")
    return isinstance(schemes, dict) and place.site in schemes


async def _existing(catalogue: WritableCatalogue, batch: Sequence[ItemClaim]) -> dict[str, Json]:
    if len(batch) == 1:
        item = as_json(await _item_or_none(catalogue, batch[0]))
        return {} if item is None else {batch[0].item_id: item}
    ids = [claim.item_id for claim in batch]
    found: dict[str, Json] = {}
    for start in range(0, len(ids), ASKED):
        found |= await known_items(catalogue, batch[0].collection, tuple(ids[start : start + ASKED]))
    return found


async def _item_or_none(catalogue: WritableCatalogue, claim: ItemClaim) -> Members | None:
    try:
        return await catalogue.item(claim.collection, claim.item_id)
    except NotFound:  # not even its collection is there
        return None


def _copy(copied: CopiedAsset, place: Place, entry: Entry) -> Copy:
    until = entry.until.get(copied.key)
    return Copy(
        href=f"s3://{place.bucket}/{copied.key}",
        checksum=copied.checksum,
        size=copied.size,
        site=copied.source.site,
        source=copied.source.href,
        expires=None if until is None else datetime.fromtimestamp(int(until), UTC).isoformat().replace("+00:00", "Z"),
    )
