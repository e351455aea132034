"""A multipart upload on its way, and what an earlier run has left of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from edges.model import Part
from harvest import multihash
from harvest.claims import ObjectClaim
from harvest.digest import Digest, Kept
from harvest.errors import WrongBytes

MAX_PARTS = 10_000
"""Parts of one upload (Amazon S3, "Amazon S3 multipart upload limits")."""

_MD5 = re.compile(r'"?[0-9a-f]{32}"?')


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

    def sent(self, number: int, size: int) -> Part | None:
        """Return a part that only the store knows of, if it has this size and its ETag can be checked (an MD5)."""
        part = self.unrecorded.get(number)
        return part if part is not None and part.size == size and _MD5.fullmatch(part.etag) else None

    def parts(self) -> list[Part]:
        """Return all parts, by number."""
        return [part for _, part in sorted(self.confirmed.items())]


def resumed(
    claim: ObjectClaim, remembered: Sequence[Part], listed: Sequence[Part], otherwise: Kept = "crc64nvme"
) -> Upload | None:
    """Return the upload that an earlier run left, or None where it cannot be gone on with.

    Without a usable state of the hash, reading starts at the beginning again, but nothing is sent twice.
    """
    stored = {part.number: part for part in listed}
    numbers = [part.number for part in remembered]
    kept = all(part.number in stored and stored[part.number].size == part.size for part in remembered)
    if claim.upload_id is None or not kept or numbers != list(range(1, len(numbers) + 1)):
        return None
    usable = Digest.resumable(claim.hash_state, expected(claim), otherwise)
    state = claim.hash_state if usable else None
    digest = Digest(expected(claim), state=state, otherwise=otherwise)
    upload = Upload(id=claim.upload_id, part_bytes=claim.part_bytes, digest=digest)
    if usable:
        upload.start = claim.done
    upload.confirmed = {part.number: part for part in remembered}
    upload.unrecorded = {number: part for number, part in stored.items() if number not in upload.confirmed}
    return upload


def expected(claim: ObjectClaim) -> multihash.Checksum | None:
    """Return the checksum that decides, or None where length alone does."""
    return None if claim.integrity == "size" else multihash.parse(claim.checksum)


def check_arrived(claim: ObjectClaim, total: int, digest: Digest) -> None:
    """Raise WrongBytes where what came is not what was announced."""
    if claim.size is not None and total != claim.size:
        raise WrongBytes(f"{total} bytes came of {claim.size} announced")
    if not digest.matches():
        raise WrongBytes("the checksum of what came is not the one announced")
