"""A multipart upload on its way, and what an earlier run has left of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from edges.model import Part
from harvest import multihash
from harvest.claims import ObjectClaim
from harvest.digest import Digest

MAX_PARTS = 10_000
"""Parts of one upload (Amazon S3, "Amazon S3 multipart upload limits")."""


@dataclass
class Upload:
    """What is up already, and the hash of what was read.

    Reading goes on at byte ``start``; ``confirmed`` are the parts that both the store and we remember,
    ``unrecorded`` those that only the store does (we died before writing them down). ``absent``: there was no
    object before.
    """

    id: str
    part_bytes: int
    digest: Digest
    start: int = 0
    absent: bool = False
    confirmed: dict[int, Part] = field(default_factory=dict)
    unrecorded: dict[int, Part] = field(default_factory=dict)

    def has(self, number: int) -> bool:
        """Tell whether a part is up and remembered: it is then read for the hash alone."""
        return number in self.confirmed

    def found(self, number: int, body: bytes) -> Part | None:
        """Return an unrecorded part if it holds exactly these bytes, as its ETag (an MD5) tells."""
        part = self.unrecorded.get(number)
        if part is None or part.size != len(body):
            return None
        same = part.etag.strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest()
        return part if same else None

    def parts(self) -> list[Part]:
        """Return all parts, by number."""
        return [part for _, part in sorted(self.confirmed.items())]


def fresh(claim: ObjectClaim, upload_id: str, part_bytes: int, *, absent: bool = False) -> Upload:
    """Return an upload of which nothing is up yet."""
    return Upload(id=upload_id, part_bytes=part_bytes, digest=Digest(expected(claim)), absent=absent)


def resumed(claim: ObjectClaim, remembered: Sequence[Part], listed: Sequence[Part]) -> Upload | None:
    """Return the upload that an earlier run left, or None where it cannot be gone on with.

    Without a usable state of the hash, reading starts at the beginning again, but nothing is sent twice.
    """
    stored = {part.number: part for part in listed}
    numbers = [part.number for part in remembered]
    kept = all(part.number in stored and stored[part.number].size == part.size for part in remembered)
    if claim.upload_id is None or not kept or numbers != list(range(1, len(numbers) + 1)):
        return None
    usable = Digest.resumable(claim.hash_state, expected(claim))
    upload = fresh(claim, claim.upload_id, claim.part_bytes)
    if usable:
        upload.digest = Digest(expected(claim), state=claim.hash_state)
        upload.start = claim.done
    upload.confirmed = {part.number: part for part in remembered}
    upload.unrecorded = {number: part for number, part in stored.items() if number not in upload.confirmed}
    return upload


def expected(claim: ObjectClaim) -> multihash.Checksum | None:
    """Return the checksum that decides, or None where length alone does."""
    return None if claim.integrity == "size" else multihash.parse(claim.checksum)
