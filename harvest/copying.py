"""Inside one service the bytes are copied by the service itself; an announced checksum is checked first, by reading."""

from collections.abc import Mapping

import msgspec

from edges.errors import Conflict, EdgeError, SiteUnavailable
from edges.model import ObjectInfo
from harvest.claims import ObjectClaim
from harvest.desk import Desk
from harvest.digest import Digest
from harvest.errors import SourceChanged, WrongBytes
from harvest.model import Source
from harvest.publishing import VERSION, Publisher
from harvest.seams import Checkpoint, Place
from harvest.sources import Sources
from harvest.upload import check_arrived, expected


class Copier:
    """Lets services copy where source and target are in one."""

    def __init__(
        self,
        *,
        desk: Desk,
        places: Mapping[str, Place],
        sources: Sources,
        publisher: Publisher,
        checkpoint: Checkpoint,
    ) -> None:
        self._desk = desk
        self._places = places
        self._sources = sources
        self._publisher = publisher
        self._checkpoint = checkpoint

    async def copied(self, claim: ObjectClaim, source: Source) -> bool:
        """Let the service copy by itself, where source and target are in one; tell whether it did.

        An announced checksum is checked first, by reading; the copy is made only while the source is the same.
        """
        here, there = self._places[claim.target], self._places.get(source.site)
        if claim.upload_id is not None or there is None or there.endpoint != here.endpoint:
            return False
        origin = await _origin(there, source)
        if origin is None or not origin.etag:
            return False
        if claim.size is not None and origin.size != claim.size:
            raise WrongBytes(f"the item announces {claim.size} bytes, the source has {origin.size}")
        if claim.fence > 1:
            await self._publisher.sweep(claim)
        await self._desk.cover(claim, origin.size, exact=True)  # before the bytes are read through
        claim = msgspec.structs.replace(claim, source=source, validator=origin.etag)
        told = await self._read_through(claim, source, origin.etag)
        try:
            await self._publisher.checked(claim, origin.size, told)
            await here.store.copy_from(origin, there.bucket, claim.key, metadata={VERSION: claim.version})
        except Conflict as error:
            raise SourceChanged from error
        except SiteUnavailable:
            raise
        except EdgeError:  # its credentials do not open the other bucket: through us, then
            return False
        self._checkpoint("put")
        await self._publisher.available(claim, moved=origin.size)
        return True

    async def _read_through(self, claim: ObjectClaim, source: Source, etag: str) -> str | None:
        """Check a source by reading it, where a checksum is announced; return the multihash that was found."""
        if expected(claim) is None:
            return None
        digest = Digest(expected(claim))
        async with self._sources.reading(source) as reading:
            if reading.validator != etag:
                raise SourceChanged
            while piece := await reading.read(1 << 20):
                digest.update(piece)
            check_arrived(claim, reading.position, digest)
        return digest.multihash()


async def _origin(place: Place, source: Source) -> ObjectInfo | None:
    """Return what a place has under the address of a source; None where it does not say."""
    key = place.key_of(source.href)
    try:
        return None if key is None else await place.store.head(key)
    except EdgeError:  # told by the reading that follows, as the source's failure
        return None
