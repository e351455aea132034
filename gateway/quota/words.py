"""What requests about quotas say in their query, and how quotas are told in JSON. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from quotas.model import RESOURCES, Entry, Usage
from quotas.records import Grant, StoredPolicy, Ticket, UsagePoint, Wanted

MAX_HISTORY = 1_000
DEFAULT_HISTORY = 100
DAY = 86_400.0
MOST_SECONDS = 10 * 366 * DAY

_EVENTS = ("reserve", "commit", "release", "expire", "give-back", "policy", "grant")


class Page(Frozen):
    """Which part of a history is asked for."""

    after: int
    limit: int
    wanted: Wanted


class Span(Frozen):
    """Which usage is asked for: of one resource, from ``since`` until ``until`` (epoch seconds), by steps (seconds)."""

    resource: str
    since: float
    until: float
    step: float
    by: tuple[str, ...]


def read_page(query: Mapping[str, str], *, own_user: str | None) -> Page:
    """Read a history's query; ``own_user`` is the only user whose lines may be seen, if any.

    Raises:
        InvalidInput: a parameter is not what it should be.
    """
    events = tuple(each for each in query.get("event", "").split(",") if each)
    for event in events:
        if event not in _EVENTS:
            raise InvalidInput("event", f"got {event[:40]!r}", f"some of {', '.join(_EVENTS)}")
    resource = query.get("resource", "")
    if resource and resource not in RESOURCES:
        raise InvalidInput("resource", f"got {resource[:40]!r}", f"one of {', '.join(RESOURCES)}")
    return Page(
        after=read_whole(query, "after", 0, least=0, most=1 << 62),
        limit=read_whole(query, "limit", DEFAULT_HISTORY, least=1, most=MAX_HISTORY),
        wanted=Wanted(
            events=events,
            user=own_user if own_user is not None else query.get("user", ""),
            resource=resource,
            edge=query.get("edge", ""),
            key=query.get("key", ""),
            since=read_time(query, "since"),
            until=read_time(query, "until"),
        ),
    )


def read_span(query: Mapping[str, str], *, now: float) -> Span:
    """Read a usage query: the last day by hours, unless it says otherwise.

    Raises:
        InvalidInput: a parameter is not what it should be.
    """
    resource = query.get("resource", "requests")
    if resource not in RESOURCES:
        raise InvalidInput("resource", f"got {resource[:40]!r}", f"one of {', '.join(RESOURCES)}")
    until = read_time(query, "until")
    until = now if until is None else until
    since = read_time(query, "since")
    since = until - DAY if since is None else since
    if not 0 < until - since <= MOST_SECONDS:
        raise InvalidInput("since", "not before `until`, or too far from it", "a time before it, by ten years at most")
    by = tuple(query.get("by", "user,edge").split(","))
    if not set(by) <= {"group", "user", "edge"}:
        raise InvalidInput("by", f"got {query['by'][:40]!r}", "some of group, user, edge, with commas")
    step = float(read_whole(query, "step", 3600, least=1, most=int(MOST_SECONDS)))
    return Span(resource=resource, since=since, until=until, step=step, by=by)


def read_time(query: Mapping[str, str], name: str) -> float | None:
    """Read a time in RFC 3339, or in epoch seconds; None where there is none.

    Raises:
        InvalidInput: it is neither.
    """
    text = query.get(name)
    if not text:
        return None
    try:
        if text.replace(".", "", 1).isdigit() and text.isascii() and len(text) <= 20:
            return float(text)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(name, f"got {text[:40]!r}", "a time such as 2026-01-31T00:00:00Z") from error


def read_whole(query: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    """Read a whole number; a larger one than ``most`` is clamped.

    Raises:
        InvalidInput: it is none, or less than ``least``.
    """
    text = query.get(name)
    if text is None:
        return default
    right = f"a whole number of {least} or more"
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) < least:
        raise InvalidInput(name, f"got {text[:40]!r}", right)
    return min(int(text), most)


def standing(usage: Usage) -> Json:
    """Tell where a policy stands for one holder."""
    policy = usage.policy
    return {
        "policy": policy.name,
        "holder": usage.holder,
        "group": policy.group,
        "applies": policy.applies,
        "edge": usage.edge,
        "resource": policy.resource,
        "unit": RESOURCES[policy.resource],
        "kind": policy.kind,
        "window_seconds": policy.window_seconds or None,
        "reset": policy.reset,
        "limit": usage.limit,
        "granted": usage.granted,
        "used": usage.used,
        "reserved": usage.reserved,
        "available": max(0.0, usage.limit - usage.used - usage.reserved),
        "on_exceed": policy.on_exceed,
        "mode": policy.mode,
        "contact": policy.contact,
    }


def told_entry(entry: Entry) -> Json:
    """Tell one line of the history."""
    told: Json = msgspec.to_builtins(entry)
    return told


def told_policy(stored: StoredPolicy) -> Json:
    """Tell a policy, and where it comes from."""
    told: Json = msgspec.to_builtins(stored)
    return {**told.pop("policy"), **told, "changed_at": rfc3339(stored.changed_at) if stored.changed_at else None}


def told_grant(grant: Grant) -> Json:
    """Tell a temporary raise."""
    told: Json = msgspec.to_builtins(grant)
    return told | {"expires_at": rfc3339(grant.expires_at)}


def told_ticket(ticket: Ticket, *, own: bool) -> Json:
    """Tell a place in the line; what another user waits for is nobody else's business."""
    told: Json = {"position": ticket.position, "group": ticket.charge.group, "since": rfc3339(ticket.since)}
    if own:
        expected = ticket.expected_at
        told |= {
            "user": ticket.charge.user,
            "key": ticket.key,
            "lines": [msgspec.to_builtins(line) for line in ticket.lines],
            "expires_at": rfc3339(ticket.expires_at),
            "expected_at": None if expected is None else rfc3339(expected),
        }
    return told


def series_of(points: Iterable[UsagePoint], by: tuple[str, ...]) -> list[Json]:
    """Return one series for each group, user or edge, as ``by`` says; what several took is added up.

    A series' points are ``[at, used, held, peak]``; a peak over several is at most so much.
    """
    names = [name for name in ("group", "user", "edge") if name in by]
    found: dict[tuple[str, ...], dict[float, list[float]]] = {}
    for point in points:
        sums = found.setdefault(tuple(getattr(point, name) for name in names), {}).setdefault(point.at, [0.0, 0.0, 0.0])
        for index, amount in enumerate((point.used, point.held, point.peak)):
            sums[index] += amount
    return [
        {**dict(zip(names, key, strict=True)), "points": [[at, *sums] for at, sums in sorted(by_time.items())]}
        for key, by_time in sorted(found.items())
    ]


def rfc3339(at: float) -> str:
    """Write a time, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()
