"""``/quotas``: where one stands, what would be refused and why, and what happened."""

from typing import Any

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.bodies import read_object
from gateway.principal import Principal, principal_of, user_of
from gateway.quota.problem import problem_of_refusal
from quotas.ledger import Ledger
from quotas.model import EVERYONE, RESOURCES, Entry, Line, Usage, is_group

MAX_LINES = 32
MAX_HISTORY = 1_000
DEFAULT_HISTORY = 100


class NotYourGroup(Exception):
    """The group is not the user's."""

    status = 403
    title = "Not your group"


class _Check(Frozen):
    """The body of ``POST /quotas/check``."""

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise ValueError(f"lines must be 1 to {MAX_LINES}")


class QuotaFace:
    """The face of quotas. ``public_url`` is what links are built from."""

    def __init__(self, *, ledger: Ledger, public_url: str) -> None:
        self._ledger = ledger
        self._public_url = public_url.rstrip("/")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; the more special ones first."""
        return [
            web.get("/quotas/me", self._me),
            web.post("/quotas/check", self._check),
            web.get("/quotas/{group:.+}/history", self._history),
            web.get("/quotas/{group:.+}", self._group),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        groups = principal.groups or (principal.charging_group,)
        usages = await self._ledger.usage(groups, principal.user)
        return _json(
            {
                "user": principal.user,
                "groups": principal.groups,
                "charging_group": principal.charging_group,
                "quotas": [_standing(usage) for usage in usages],
            }
        )

    async def _group(self, request: web.Request) -> web.Response:
        group, principal = self._admit(request)
        user = None if principal.admin else principal.user
        usages = await self._ledger.usage([group], user)
        return _json({"group": group, "quotas": [_standing(usage) for usage in usages]})

    async def _history(self, request: web.Request) -> web.Response:
        group, _ = self._admit(request)
        after = _whole(request, "after", 0, least=0, most=1 << 62)
        limit = _whole(request, "limit", DEFAULT_HISTORY, least=1, most=MAX_HISTORY)
        entries = await self._ledger.history(group, after=after, limit=limit)
        links: list[Json] = []
        if len(entries) == limit:
            path = request.url.raw_path
            href = f"{self._public_url}{path}?after={entries[-1].seq}&limit={limit}"
            links.append({"rel": "next", "type": "application/json", "href": href})
        return _json({"group": group, "entries": [_told(entry) for entry in entries], "links": links})

    async def _check(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        right = 'an object {"lines": [{"resource": ..., "amount": ..., "edge": ...}]}'
        body = await read_object(request, right=right, limit=65_536)
        try:
            wanted = msgspec.convert(body, _Check)
        except msgspec.ValidationError as error:
            raise InvalidInput("body", str(error), right) from error
        refusal = await self._ledger.check(principal.charge, wanted.lines)
        answer: Json = {"group": principal.charging_group, "fits": refusal is None}
        if refusal is not None:
            answer["refusal"] = problem_of_refusal(refusal).body
            answer["retry_after"] = refusal.retry_after
        return _json(answer)

    def _admit(self, request: web.Request) -> tuple[str, Principal]:
        """Return the group that is asked about, and who asks.

        Raises:
            Unauthenticated: nobody is named, and the group is not the anonymous one.
            NotYourGroup: the user is neither in it or below it, nor an administrator.
        """
        group = request.match_info["group"]
        principal = principal_of(request)
        if any(own == group or own.startswith(group + "/") for own in _groups(principal)):
            return group, principal
        named = user_of(request)
        if named.admin and (group == EVERYONE or is_group(group)):
            return group, named
        raise NotYourGroup(f"{named.user} is not in group {group[:200]!r}; theirs: {', '.join(_groups(named))}")


def _groups(principal: Principal) -> tuple[str, ...]:
    return principal.groups or (principal.charging_group,)


def _standing(usage: Usage) -> Json:
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
        "limit": policy.amount,
        "used": usage.used,
        "reserved": usage.reserved,
        "available": max(0.0, policy.amount - usage.used - usage.reserved),
        "mode": policy.mode,
        "contact": policy.contact,
    }


def _told(entry: Entry) -> Json:
    told: Json = msgspec.to_builtins(entry)
    return told


def _whole(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    right = f"a whole number of {least} or more"
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) < least:
        raise InvalidInput(name, f"got {text[:40]!r}", right)
    return min(int(text), most)


def _json(value: dict[str, Any]) -> web.Response:
    response = web.Response(body=msgspec.json.encode(value), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
