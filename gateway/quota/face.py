"""``/quotas``: where one stands, what would be refused and why, what happened, and what was taken over time."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.bodies import read_object
from gateway.principal import Principal, principal_of, user_of
from gateway.quota import words
from gateway.quota.access import admit, groups_of
from gateway.quota.holders import with_holders
from gateway.quota.problem import problem_of_refusal
from quotas.ledger import Ledger, UsageHistory, WaitingLine
from quotas.model import EVERYONE, RESOURCES, Line

MAX_LINES = 32
NDJSON = "application/x-ndjson"


class QuotaSource(Ledger, WaitingLine, UsageHistory, Protocol):
    """What this face asks of a ledger."""


class _Check(Frozen):
    """The body of ``POST /quotas/check``."""

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= MAX_LINES:
            raise ValueError(f"lines must be 1 to {MAX_LINES}")


class QuotaFace:
    """The face of quotas. ``public_url`` is what links are built from."""

    def __init__(self, *, ledger: QuotaSource, public_url: str, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; the more special ones first. They come after those of the administrators' face."""
        return [
            web.get("/quotas/me", self._me),
            web.get("/quotas/waiting", self._waiting),
            web.post("/quotas/check", self._check),
            web.get("/quotas/{group:.+}/history", self._history),
            web.get("/quotas/{group:.+}/usage", self._usage),
            web.get("/quotas/{group:.+}", self._group),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        usages = await self._ledger.usage(groups_of(principal), principal.user)
        return json_response(
            {
                "user": principal.user,
                "groups": principal.groups,
                "charging_group": principal.charging_group,
                "quotas": [words.standing(usage) for usage in usages],
            }
        )

    async def _waiting(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        tickets = await self._ledger.waiting((EVERYONE,) if principal.admin else groups_of(principal))
        told = [words.told_ticket(each, own=principal.admin or each.charge.user == principal.user) for each in tickets]
        return json_response({"waiting": told})

    async def _group(self, request: web.Request) -> web.Response:
        group, principal, _ = _admitted(request, named=False)
        user = None if principal.admin else principal.user
        usages = await self._ledger.usage([group], user)
        return json_response({"group": group, "quotas": [words.standing(usage) for usage in usages]})

    async def _history(self, request: web.Request) -> web.StreamResponse:
        group, _, own_user = _admitted(request, named=True)
        page = words.read_page(request.query, own_user=own_user)
        if request.query.get("format") == "ndjson" or NDJSON in request.headers.get("Accept", ""):
            return await self._export(request, group, page)
        entries = await self._ledger.history(group, after=page.after, limit=page.limit, wanted=page.wanted)
        links: list[Json] = []
        if len(entries) == page.limit:
            href = self._next(request.url.raw_path, request.query, after=entries[-1].seq, limit=page.limit)
            links.append({"rel": "next", "type": "application/json", "href": href})
        return json_response(
            {"group": group, "entries": [words.told_entry(entry) for entry in entries], "links": links}
        )

    def _next(self, path: str, query: Mapping[str, str], **changed: int) -> str:
        kept = {name: value for name, value in query.items() if name not in ("token", *changed)}
        return f"{self._public_url}{path}?{urlencode(kept | changed)}"

    async def _export(self, request: web.Request, group: str, page: words.Page) -> web.StreamResponse:
        """Stream all entries from ``after`` on, one JSON object a line."""
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "Content-Type": NDJSON})
        after, encoder = page.after, msgspec.json.Encoder()
        entries = await self._ledger.history(group, after=after, limit=words.MAX_HISTORY, wanted=page.wanted)
        await response.prepare(request)
        while entries:
            await response.write(b"".join(encoder.encode(words.told_entry(entry)) + b"\n" for entry in entries))
            after = entries[-1].seq
            if len(entries) < words.MAX_HISTORY:
                break
            entries = await self._ledger.history(group, after=after, limit=words.MAX_HISTORY, wanted=page.wanted)
        await response.write_eof()
        return response

    async def _usage(self, request: web.Request) -> web.Response:
        group, _, own_user = _admitted(request, named=True)
        span = words.read_span(request.query, now=self._clock())
        points = await self._ledger.usage_over_time(
            group, span.resource, since=span.since, until=span.until, step=span.step
        )
        seen = [point for point in points if own_user is None or point.user == own_user]
        return json_response(
            {
                "group": group,
                "resource": span.resource,
                "unit": RESOURCES[span.resource],
                "since": words.rfc3339(span.since),
                "until": words.rfc3339(span.until),
                "step": span.step,
                "columns": ["at", "used", "held", "peak"],
                "series": words.series_of(seen, span.by),
            }
        )

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
            refusal = await with_holders(refusal, principal, self._ledger)
            answer["refusal"] = problem_of_refusal(refusal).body
            answer["retry_after"] = refusal.retry_after
            answer["on_exceed"] = refusal.on_exceed
            answer["admissible"] = refusal.admissible
        return json_response(answer)


def _admitted(request: web.Request, *, named: bool) -> tuple[str, Principal, str | None]:
    """Return the group that is asked about, who asks, and whose lines of its history they may see (None: all).

    Raises:
        Unauthenticated: nobody is named, and it is not about how full the limits of the anonymous group are.
        gateway.quota.access.NotYourGroup: the group is not theirs.
    """
    group = request.match_info["group"]
    principal = principal_of(request)
    if principal.anonymous and (named or group not in groups_of(principal)):
        principal = user_of(request)
    return group, principal, admit(principal, group)


def json_response(value: Json, status: int = 200) -> web.Response:
    """Answer with JSON that no cache keeps."""
    body = msgspec.json.encode(value)
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
