"""The configuration of harvests."""

from typing import Literal

import msgspec


class HarvestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How harvests run.

    ``workers`` objects are transferred at once. What is larger than ``part_bytes`` goes in parts of that size
    (S3 wants at least 5 MiB), and what a crash costs is at most one of them; parts are streamed, not held.
    ``checksum`` is computed where an item announces none. ``stall_seconds`` without a byte breaks a transfer off,
    and it resumes. ``claim_seconds`` is how long a dead worker keeps its claim. ``allowed_origins``
    (``scheme://host:port``) are private addresses from which assets may be fetched beside the sites' own; public
    ones are allowed.

    ``max_items`` bounds one order. ``attempts`` without a new byte end the work on one source; ``pause_seconds`` is
    the longest wait between them, and between two questions for quota that was refused on the way.
    An order of more than ``approval_bytes`` waits until an administrator approves it.
    ``assumed_bytes`` stands for the size of an asset of which nothing is known. ``idle_seconds`` is how often a
    worker without work looks for some.
    """

    workers: int = 4
    part_bytes: int = 64 << 20
    checksum: Literal["crc64nvme", "sha256"] = "crc64nvme"
    stall_seconds: float = 30.0
    claim_seconds: float = 30.0
    max_items: int = 10_000
    allowed_origins: tuple[str, ...] = ()
    attempts: int = 5
    pause_seconds: float = 30.0
    assumed_bytes: int = 64 << 20
    idle_seconds: float = 2.0
    approval_bytes: int = 1 << 50
