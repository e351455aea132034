"""Who is to be told of what, as bodies say it. Pure."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from edges.errors import InvalidInput
from edges.model import Json
from harvest.model import EVENTS, Notify


def notifications(given: Any, hosts: Iterable[str]) -> tuple[Notify, ...]:
    """Read who is to be told of what.

    Raises:
        InvalidInput: it cannot be read, or names a host that may not be called.
    """
    wanted = given if isinstance(given, list) else [] if given is None else [given]
    told = []
    for each in wanted:
        if not isinstance(each, dict):
            raise InvalidInput("notify", f"got {each!r}"[:200], '{"url": "https://...", "events": [...]}')
        refuse_unknown(each, ("url", "events", "secret"), "notify.")
        events = each.get("events", ["completed", "stuck", "expiring", "expired", "cancelled"])
        if not isinstance(events, list) or any(event not in EVENTS for event in events):
            raise InvalidInput("notify.events", f"got {events!r}"[:200], f"some of {', '.join(EVENTS)}")
        url = callback_url(each.get("url"), hosts, "notify.url")
        told.append(Notify(url=url, events=tuple(events), secret=str(each.get("secret", ""))))
    return tuple(told)


def callback_url(given: Any, hosts: Iterable[str], field: str) -> str:
    """Return an address that may be called: http(s), no credentials, one of the allowed hosts.

    Raises:
        InvalidInput: it is none.
    """
    allowed = sorted(hosts)
    right = f"an http(s) URL of one of the allowed hosts: {', '.join(allowed) or '(none are configured)'}"
    if not isinstance(given, str) or len(given) > 2_000 or not given.isprintable():
        raise InvalidInput(field, "no URL", right)
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(field, "no URL", right) from error
    host = parts.hostname or ""
    named = {host, f"{host}:{port}"} if port else {host}
    if parts.scheme not in ("http", "https") or parts.username is not None or not named & set(allowed):
        raise InvalidInput(field, f"{host or 'it'} is not allowed", right)
    return given


def refuse_unknown(given: Json, names: Iterable[str], prefix: str) -> None:
    """Raise InvalidInput for the first member that is none of ``names``."""
    for name in given:
        if name not in names:
            raise InvalidInput(f"{prefix}{name}"[:200], "unknown", f"one of {', '.join(names)}")
