"""The configuration of harvests."""

import msgspec


class HarvestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How harvests run.

    ``workers`` objects are transferred at once, in parts of ``part_bytes`` (S3 wants at least 5 MiB but for the
    last). ``stall_seconds`` without a byte breaks a transfer off, and it resumes. ``claim_seconds`` is how long a
    dead worker keeps its claim. ``allowed_origins`` (``scheme://host:port``) are private addresses from which
    assets may be fetched beside the sites' own; public ones are allowed.
    """

    workers: int = 4
    part_bytes: int = 8 << 20
    stall_seconds: float = 30.0
    claim_seconds: float = 30.0
    max_items: int = 10_000
    allowed_origins: tuple[str, ...] = ()
