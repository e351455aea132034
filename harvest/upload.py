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
    object before. ``apart``: each part has a checksum of its own, and they come in any order; else ``digest`` runs
    over them all.
    """

    id: str
    part_bytes: int
    digest: Digest
    start: int = 0
    absent: bool = False
    confirmed: dict[int, Part] = field(default_factory=dict)
    unrecorded: dict[int, Part] = field(default_factory=dict)
    apart: bool = False

    def bytes_there(self) -> int:
        """Return how many bytes are up and remembered."""
        return sum(part.size for part in self.confirmed.values())

    def summed(self, expected: multihash.Checksum | None) -> Digest:
        """Return the checksum of all that is up."""
        if not self.apart:
            return self.digest
        return Digest.of_parts(((part.crc64nvme or 0, part.size) for part in self.parts()), expected)

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
    if claim.upload_id is not None and claim.total is not None and are_apart(claim, remembered, otherwise):
        return _resumed_apart(claim, claim.upload_id, remembered, listed)
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


def are_apart(claim: ObjectClaim, parts: Sequence[Part], otherwise: Kept) -> bool:
    """Tell whether the parts of an object are summed up each by itself: a CRC can be put together of theirs."""
    wanted = expected(claim)
    algorithm = wanted.algorithm if wanted is not None else otherwise
    return algorithm == "crc64nvme" and all(part.crc64nvme is not None for part in parts)


def _resumed_apart(
    claim: ObjectClaim, upload_id: str, remembered: Sequence[Part], listed: Sequence[Part]
) -> Upload | None:
    stored = {part.number: part.size for part in listed}
    if any(stored.get(part.number) != part.size for part in remembered):
        return None
    confirmed = {part.number: part for part in remembered}
    first = next(number for number in range(1, len(confirmed) + 2) if number not in confirmed)
    return Upload(
        id=upload_id,
        part_bytes=claim.part_bytes,
        digest=Digest(expected(claim)),
        start=min((first - 1) * claim.part_bytes, claim.total or 0),
        confirmed=confirmed,
        apart=True,
    )


def expected(claim: ObjectClaim) -> multihash.Checksum | None:
    """Return the checksum that decides, or None where length alone does."""
    return None if claim.integrity == "size" else multihash.parse(claim.checksum)


def check_arrived(claim: ObjectClaim, total: int, digest: Digest) -> None:
    """Raise WrongBytes where what came is not what was announced."""
    if claim.size is not None and total != claim.size:
        raise WrongBytes(f"{total} bytes came of {claim.size} announced")
    if not digest.matches():
        raise WrongBytes("the checksum of what came is not the one announced")
