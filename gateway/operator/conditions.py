"""Conditions of an object's status (Kubernetes API conventions, "Typical status properties"). Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from edges.model import Frozen, Json

_MAX_MESSAGE = 1_000

Truth = Literal["True", "False", "Unknown"]


class Condition(Frozen):
    """One thing that is so, or is not: ``reason`` is a CamelCase word, ``message`` for people."""

    type: str
    status: Truth
    reason: str
    message: str = ""


class Outcome(Frozen):
    """What became of an object: the fields of its status, its conditions, and when to look again (seconds)."""

    conditions: tuple[Condition, ...]
    fields: Json = msgspec.field(default_factory=dict)
    again: float | None = None


def instant(seconds: float) -> str:
    """Return epoch seconds as Kubernetes writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_instant(seconds: float) -> str:
    """Return epoch seconds as Kubernetes writes times with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status_of(outcome: Outcome, before: Json, *, generation: int, now: float) -> Json:
    """Return a status; a condition keeps the time at which it last turned."""
    known = {each.get("type"): each for each in before.get("conditions") or ()}
    told = [_told(each, known.get(each.type) or {}, generation, now) for each in outcome.conditions]
    return {**outcome.fields, "observedGeneration": generation, "conditions": told}


def _told(condition: Condition, before: Json, generation: int, now: float) -> Json:
    same = before.get("status") == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:_MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if same else instant(now),
    }


def turned(before: Json, after: Json) -> Iterable[Json]:
    """Return the conditions whose status or reason is another than before: what events are made of."""
    known = {each.get("type"): (each.get("status"), each.get("reason")) for each in before.get("conditions") or ()}
    return [each for each in after["conditions"] if known.get(each["type"]) != (each["status"], each["reason"])]
