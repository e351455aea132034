"""The filters of the list of jobs (OGC API Processes 1.0, section 11.2). Pure."""

from collections.abc import Mapping
from typing import get_args

from edges.errors import InvalidInput
from edges.stac.datetimes import parse_interval
from gateway.processes.descriptions import HARVEST
from gateway.processes.documents import STATUS
from harvest.model import JobFilter, OrderState

_TYPES = ("process",)


def job_filter(query: Mapping[str, str], group: str | None) -> JobFilter | None:
    """Read which jobs are wanted, of a group (None: of all); None where no job can be.

    Raises:
        InvalidInput: a parameter is wrong.
    """
    types, processes = _listed(query, "type"), _listed(query, "processID")
    states = _states(query)
    interval = parse_interval(query["datetime"]) if "datetime" in query else None
    wanted = JobFilter(
        group=group,
        states=states,
        since=None if interval is None or interval.start is None else interval.start / 1e6,
        until=None if interval is None or interval.end is None else interval.end / 1e6,
        least=_seconds(query, "minDuration"),
        most=_seconds(query, "maxDuration"),
        before=_position(query),
    )
    other = (types is not None and not set(types) & set(_TYPES)) or (processes is not None and HARVEST not in processes)
    return None if other else wanted


def _states(query: Mapping[str, str]) -> tuple[OrderState, ...] | None:
    asked = _listed(query, "status")
    if asked is None:
        return None
    known = sorted(set(STATUS.values()))
    for status in asked:
        if status not in known:
            raise InvalidInput("status", f"got {status[:40]!r}", f"some of {', '.join(known)}")
    states: tuple[OrderState, ...] = get_args(OrderState)
    return tuple(state for state in states if STATUS[state] in asked)


def _listed(query: Mapping[str, str], name: str) -> list[str] | None:
    return query[name].split(",") if name in query else None


def _seconds(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise InvalidInput(name, f"got {text[:40]!r}", "a whole number of seconds")
    return float(text)


def _position(query: Mapping[str, str]) -> tuple[float, str] | None:
    text = query.get("before")
    if text is None:
        return None
    moment, comma, order_id = text.partition(",")
    try:
        return float(moment), order_id if comma else ""
    except ValueError as error:
        raise InvalidInput("before", f"got {text[:40]!r}", "what a next link gives") from error
