"""The configuration of harvests."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from edges.settings import Secret, StorageSettings
from harvest.settings_executors import ExecutorSettings

MOST_PROCESSES = 16


class PrivateBucket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group's own bucket, as a target of its harvests by the name ``~<name>``. Keys stand by reference.

    What is brought there is in no catalogue, and costs no storage quota of ours.
    """

    name: str
    group: str
    storage: StorageSettings

    def __post_init__(self) -> None:
        if not self.name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.name):
            raise ValueError(f"bucket name {self.name!r} may hold ASCII letters, digits, '-' and '_' only")


class HookSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue outside, from which HOOK orders may harvest with the credentials that they bring (``EXTERNAL``).

    All are URLs; a request must lie at or below one of them. ``url`` is the catalogue. ``token_urls`` are where tokens
    for it are asked for: nowhere else do its users' passwords go. Its tokens are shown to the catalogue and to
    ``downloads``, where its files are, and to nobody else.
    """

    url: str
    token_urls: tuple[str, ...]
    downloads: tuple[str, ...] = ()


class HookOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 service (``url``) to which HOOK orders may write with the keys that they bring (``PRIVATE``)."""

    url: str
    region: str = "us-east-1"


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How orders of the HOOK OData face are served.

    ``target`` is the site whose bucket takes temporary outputs, by default the first that takes copies. Of one order at
    most ``items`` products are ordered, and ``at_once`` are harvested at once. ``sources`` and ``outputs`` are all
    that orders may name. A download link is good for ``link_seconds``, while the copy stays; ``downloads`` archives
    are sent at once. Orders that have ended are told of for ``keep_days``.
    """

    target: str = ""
    items: int = 1_000
    at_once: int = 2
    sources: tuple[HookSource, ...] = ()
    outputs: tuple[HookOutput, ...] = ()
    link_seconds: float = 86_400.0
    downloads: int = 16
    keep_days: float = 90.0


class HarvestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How harvests run.

    ``workers`` objects are transferred at once. ``processes`` share small objects, where there are many: this one, and
    those that it starts beside itself (1: none beside; 0: two where there is more than one processor).
    What is larger than ``part_bytes`` goes in parts of that size
    (S3 wants at least 5 MiB), and what a crash costs is at most one of them; parts are streamed, not held.
    Up to ``parts_at_once`` smaller parts of one object go side by side, where fewer objects than that are carried.
    ``checksum`` is computed where an item announces none. ``stall_seconds`` without a byte breaks a transfer off,
    and it resumes. ``claim_seconds`` is how long a dead worker keeps its claim. ``allowed_origins``
    (``scheme://host:port``) are private addresses from which assets may be fetched beside the sites' own; public
    ones are allowed.

    ``max_items`` bounds one order. ``attempts`` without a new byte end the work on one source; ``pause_seconds`` is
    the longest wait between them, and between two questions for quota that was refused on the way.
    ``callback_hosts`` (``host`` or ``host:port``) may be told of events by webhook; ``webhook_keys`` sign what they
    are sent, by name (the one of an empty name signs what names none). ``buckets`` are groups' own ones.
    ``temporary_seconds`` is how long temporary copies stay where nothing else is said.

    An order of more than ``approval_bytes`` waits until an administrator approves it.
    ``hook`` is of the HOOK OData face.
    ``assumed_bytes`` stands for the size of an asset of which nothing is known. ``idle_seconds`` is how often a
    worker without work looks for some. ``executors`` say which orders are carried far from here, and how.
    """

    workers: int = 4
    processes: int = 1
    part_bytes: int = 64 << 20
    parts_at_once: int = 4
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
    callback_hosts: tuple[str, ...] = ()
    webhook_keys: Mapping[str, Secret] = {}
    buckets: tuple[PrivateBucket, ...] = ()
    temporary_seconds: float = 7 * 86_400.0
    executors: ExecutorSettings = ExecutorSettings()
    hook: HookSettings = HookSettings()

    def __post_init__(self) -> None:
        if not 0 <= self.processes <= MOST_PROCESSES:
            raise ValueError(f"harvest: processes must be 0 to {MOST_PROCESSES}")
