"""The nouns of rules. Frozen values, validated at construction; nothing here does I/O."""

from typing import Literal

import msgspec

from edges.model import Json
from harvest.model import Content, Integrity, Notify, OrderState, Progress, Value
from harvest.settings_executors import ExecutorName
from harvest.spans import RelativeInterval, seconds_of
from quotas.model import Charge

Mode = Literal["once", "standing", "catalogue"]
"""``standing`` looks again at each run; ``catalogue`` does too, and brings the items alone, without bytes."""

MIN_SCHEDULE = 1.0
"""Seconds between runs, at least."""


class RuleSource(Value, frozen=True):
    """Which items and assets. ``search`` is the body of a STAC search without ``datetime``, order and paging.

    ``datetime`` may be relative (``-P90D/..``): the window moves along. ``sites`` are those that may be asked.
    """

    search: Json
    datetime: str | None = None
    assets: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.datetime is not None:
            RelativeInterval.parse(self.datetime)


class RuleTarget(Value, frozen=True):
    """Where to: an expression over edges (``region=eu-central``), and at how many of them."""

    edges: str
    copies: int = 1
    bucket: str | None = None
    prefix: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.copies <= 16:
            raise ValueError(f"copies must be within 1 and 16, got {self.copies}")


class RuleRequest(Value, frozen=True):
    """A rule as it is asked for. Spans are ISO 8601 durations (``PT1H``); ``expires`` is in epoch seconds.

    ``overlap`` is by how much each run looks back behind the watermark: late arrivals within it are found at once,
    later ones by the full walk of every ``FULL_WALK_RUNS``-th run. Without ``retroactive`` only what is new from
    now on is brought. ``purge``: with the rule its copies go, else they stay until their lifetime is over.
    """

    name: str
    source: RuleSource
    target: RuleTarget
    mode: Mode = "once"
    schedule: str = "PT1H"
    overlap: str = "P2D"
    retroactive: bool = True
    lifetime: str | None = None
    expires: float | None = None
    purge: bool = False
    priority: int = 3
    integrity: Integrity = "prefer"
    notify: tuple[Notify, ...] = ()
    executor: ExecutorName | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 200 or not self.name.isprintable():
            raise ValueError("name must be printable text of at most 200 characters")
        if seconds_of(self.schedule, "schedule") < MIN_SCHEDULE:
            raise ValueError(f"schedule must be at least {MIN_SCHEDULE:g} s, got {self.schedule}")
        seconds_of(self.overlap, "overlap")
        if self.lifetime is not None:
            seconds_of(self.lifetime, "lifetime")
        if not 1 <= self.priority <= 5:
            raise ValueError(f"priority must be within 1 and 5, got {self.priority}")

    @property
    def content(self) -> Content:
        """Return what is brought."""
        return "catalogue" if self.mode == "catalogue" else "data"


Field = Literal["updated", "created", "published", ""]


class Watermark(Value, frozen=True):
    """How far a rule has read its source. Times are epoch seconds.

    ``field`` is the property that tells when an item came to be known at the hub, if all items have told one;
    without one, runs go by the items' own time. ``seen`` is the latest value met of it, ``looked`` when the source
    was read last, ``walked`` when it was last read as a whole.
    """

    field: Field = ""
    seen: float | None = None
    looked: float | None = None
    walked: float | None = None
    runs_since_walk: int = 0


class Rule(Value, frozen=True):
    """One rule as it stands. Times in epoch seconds; ``lag`` in seconds: how far behind its source it may be."""

    id: str
    charge: Charge
    request: RuleRequest
    state: OrderState
    message: str
    created: float
    updated: float
    expires: float | None
    next_run: float
    runs: int
    attempts: int
    approved: str
    watermark: Watermark
    progress: Progress
    orders: tuple[str, ...] = ()
    lag: float | None = None


class Reason(Value, frozen=True):
    """Why something does not go on: how many times, one example, and what may be done."""

    state: str
    reason: str
    count: int
    example: str = ""
    retry_at: float | None = None


class Explained(Value, frozen=True):
    """Why a rule or order is where it is."""

    state: OrderState
    message: str
    advice: str
    reasons: tuple[Reason, ...] = ()
    refusal: str | None = None


def rule_request(told: bytes) -> RuleRequest:
    """Return a rule's request as it was kept."""
    return msgspec.json.decode(told, type=RuleRequest)
