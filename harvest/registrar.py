"""Copies become replicas: the target's catalogue learns where an item's assets lie now."""

import logging
from collections.abc import Mapping

import msgspec

from edges.errors import EdgeError, NotFound, SiteUnavailable
from edges.model import Json, Members
from edges.seams import WritableCatalogue
from harvest import claims, multihash
from harvest.claims import CopiedAsset, ItemClaim
from harvest.database import Journal
from harvest.errors import ClaimLost
from harvest.replica import Copy, Scheme, minimal_collection, replica_item
from harvest.seams import Describe, Place

logger = logging.getLogger(__name__)


class Registrar:
    """Carries out claims on items. ``attempts`` refusals by the catalogue end the work on one."""

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

    async def register(self, claim: ItemClaim) -> None:
        """Put an item with its copies into the target's catalogue. Failures are kept with the item."""
        try:
            await self._put(claim)
            self._checkpoint("registered")
            await self._database.run(lambda c: claims.registered(c, claim))
            self._checkpoint("registration-remembered")
        except EdgeError as error:
            await self._put_off(claim, error)
        except ClaimLost:
            logger.info("an item was taken over", extra={"item": claim.item_id})

    async def _put(self, claim: ItemClaim) -> None:
        place = self._places[claim.target]
        catalogue = place.catalogue
        if catalogue is None:
            raise NotFound(f"{claim.target}: the site has no catalogue that can be written")
        item: Json = msgspec.json.decode(claim.doc)
        existing = as_json(await _item_or_none(catalogue, claim))
        copied = await self._database.run(lambda c: claims.copies_of(c, claim))
        copies = {each.asset: _copy(each, place) for each in copied}
        scheme = Scheme(name=place.site, endpoint=place.endpoint, bucket=place.bucket, region=place.region)
        replica = replica_item(item, copies, scheme, existing)
        try:
            await catalogue.put_items(claim.collection, [replica])
        except NotFound:
            described = await self._describe(claim.collection)
            await catalogue.put_collection(described or minimal_collection(claim.collection, [item]))
            await catalogue.put_items(claim.collection, [replica])

    async def _put_off(self, claim: ItemClaim, error: EdgeError) -> None:
        failed = not isinstance(error, SiteUnavailable) and claim.attempts + 1 >= self._attempts
        pause = min(300.0, 0.5 * 2.0**claim.attempts)
        extra = {"site": claim.target, "item": claim.item_id, "reason": str(error), "final": failed}
        logger.warning("an item could not be registered", extra=extra)
        later = self._clock() + pause
        await self._database.run(lambda c: claims.item_put_off(c, claim, str(error), later, failed=failed))


async def _item_or_none(catalogue: WritableCatalogue, claim: ItemClaim) -> Members | None:
    try:
        return await catalogue.item(claim.collection, claim.item_id)
    except NotFound:  # not even its collection is there
        return None


def as_json(members: Members | None) -> Json | None:
    """Return an item whose members are bytes as plain JSON."""
    if members is None:
        return None
    decoded: Json = msgspec.json.decode(msgspec.json.encode(members))
    return decoded


def _copy(copied: CopiedAsset, place: Place) -> Copy:
    return Copy(
        href=f"s3://{place.bucket}/{copied.key}",
        checksum=multihash.of_sha256(bytes.fromhex(copied.sha256)),
        size=copied.size,
        site=copied.source.site,
        source=copied.source.href,
    )
