"""What an audit compares and finds. Pure."""

from collections.abc import Mapping
from typing import Literal

from harvest.model import Value

Kind = Literal["lost", "dark", "corrupt", "untold", "dangling", "unfinished"]
"""``lost``: written down as there, and not in the bucket. ``dark``: in the bucket, written by a harvest, and not
written down. ``corrupt``: other bytes than were checked. ``untold``: there, and the catalogue does not tell.
``dangling``: the catalogue tells of a copy that is not written down. ``unfinished``: an upload that is nobody's."""

MAX_TOLD = 1_000
"""Findings that a report names one by one."""


class Finding(Value, frozen=True):
    """One thing that is not as it should be. ``repaired`` says what was done, or is being done, about it."""

    kind: Kind
    key: str
    detail: str = ""
    repaired: str = ""


class Report(Value, frozen=True):
    """What an audit found. ``bytes`` of the copies looked at; ``counts`` by kind of finding, however many."""

    objects: int = 0
    bytes: int = 0
    listed: int = 0
    items: int = 0
    counts: Mapping[str, int] = {}
    findings: tuple[Finding, ...] = ()
    problem: str = ""


class Audit(Value, frozen=True):
    """One audit of a target as it stands. Times in epoch seconds."""

    id: str
    target: str
    user: str
    repair: bool
    deep: bool
    state: Literal["running", "done", "failed"]
    created: float
    finished: float | None
    report: Report


class Known(Value, frozen=True):
    """A copy as it is written down. ``size`` in bytes, ``digest`` a multihash, where one was computed."""

    id: int
    key: str
    size: int
    digest: str | None
