"""What far workers and the gateway tell each other: one request per act on a claim. Pure."""

from collections.abc import Mapping
from typing import Literal

from edges.model import Part
from edges.settings import PolitenessSettings
from harvest.bucket_keys import Bucket
from harvest.carrying import CarryingTerms
from harvest.claims import ObjectClaim
from harvest.model import Source, Value
from harvest.turns import Grant, Kept
from quotas.model import Refusal

TOKEN_HEADER = "Lakegate-Run-Token"  # noqa: S105 - the name of a header
"""Shown by workers, instead of a user's credentials."""

Verb = Literal[
    "take", "renew", "current", "parts", "cover", "began", "part_done", "upload_gone", "checked", "available",
    "ended", "put_off", "wait_for_quota", "turn", "turns", "pace",
]  # fmt: skip


class Deed(Value, frozen=True):
    """One act on a claim: which (``id`` and ``fence``), and what its verb needs; see :class:`harvest.desk.Desk`.

    ``site`` and what follows are of acts on turns at sites; see :class:`harvest.turns.Turns`.
    """

    id: int = 0
    fence: int = 0
    most: int = 1
    source: Source | None = None
    validator: str | None = None
    upload_id: str = ""
    part_bytes: int = 0
    total: int | None = None
    part: Part | None = None
    done: int = 0
    hash_state: bytes | None = None
    digest: str | None = None
    moved: int = 0
    event: Literal["", "spoiled", "no-source", "give-up-claim", "hold"] = ""
    reason: str = ""
    pause: float = 0.0
    needed: int = 0
    exact: bool = True
    site: str = ""
    requests: int = 0
    count: int = 0
    turns: Kept = Kept()


class Taken(Value, frozen=True):
    """What was given out: claims, the buckets that they name, and how many objects are still ``open``."""

    claims: tuple[ObjectClaim, ...]
    buckets: Mapping[str, Bucket]
    open: int


class Terms(Value, frozen=True):
    """How a run's workers carry: ``allowed`` are private addresses that may be called, ``workers`` tasks at once.

    ``politeness`` is how sites want to be read, by all together; ``origins`` tell whose an address is.
    """

    carrying: CarryingTerms
    allowed: tuple[str, ...]
    workers: int
    politeness: Mapping[str, PolitenessSettings] = {}
    origins: Mapping[str, str] = {}


class Granted(Value, frozen=True):
    """What a site may be asked: by which turn (None: all are taken), or after how long; see :class:`Grant`."""

    turn: str | None = None
    grant: Grant = Grant(given=True, wait=0.0)


class Covered(Value, frozen=True):
    """Whether there is quota."""

    refusal: Refusal | None = None
