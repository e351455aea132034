"""Errors and rates as clients of HDA read them: what the gateway says to others, in other words.

A body is ``code``, ``ticket`` (the id of the request, for who asks an operator), ``description``, and ``errors`` where
providers or values were at fault; ``code`` is text there and a number elsewhere, as it is at the original.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from edges.model import Json
from edges.request_ids import REQUEST_ID, TRACED
from gateway.principal import PRINCIPAL
from gateway.problems import PROBLEM
from gateway.quota.charging import Charging
from gateway.quota.rate_limits import Remaining

WRONG = "Something went wrong"
_NAMES: Mapping[int, str] = {
    400: "ValidationError",
    401: "AuthenticationError",
    403: "AuthenticationError",
    404: "NotAvailableError",
    422: "ValidationError",
    429: "QuotaExceededError",
    502: "RequestError",
    503: "RequestError",
    504: "TimeOutError",
}


def hda_error(problem: Json, ticket: str) -> Json:
    """Return a problem (RFC 9457) in the words of HDA."""
    status = int(problem.get("status", 500))
    detail = str(problem.get("detail") or problem.get("title") or "")
    told = [{"provider": site} | _fault(*_of_site(each, status, detail)) for site, each in _sites(problem).items()]
    if not told and "field" in problem:
        told = [_fault(status, f"{detail}")]
    if not told:
        return {"code": status, "ticket": ticket, "description": detail}
    return {"code": str(status), "ticket": ticket, "description": WRONG, "errors": told}


def _fault(status: int, message: str) -> Json:
    return {"error": _NAMES.get(status, "RequestError"), "status_code": status, "message": message}


def _sites(problem: Json) -> Mapping[str, Json]:
    sites = problem.get("sites")
    return {name: each for name, each in sites.items() if isinstance(each, dict)} if isinstance(sites, dict) else {}


def _of_site(told: Json, status: int, detail: str) -> tuple[int, str]:
    known = {"timeout": 504, "overloaded": 503, "refused": 502}.get(str(told.get("code")), status)
    return int(told.get("status", known)), str(told.get("reason") or detail)


def rate_headers(told: Iterable[Remaining]) -> Mapping[str, str]:
    """Return ``x-ratelimit-*`` of the policy on requests that is nearest to its end; none where none binds."""
    rates = [each for each in told if each.resource == "requests" and each.limit > 0]
    if not rates:
        return {}
    least = min(rates, key=lambda each: each.remaining / each.limit)
    limit, seconds = math.floor(least.limit), _seconds(least)
    return {
        "x-ratelimit-limit": f"{limit}, {limit};w={seconds}",
        "x-ratelimit-remaining": str(max(0, math.floor(least.remaining))),
        "x-ratelimit-reset": str(seconds if least.remaining < 1 else _until_whole(least, seconds)),
    }


def _seconds(each: Remaining) -> int:
    if each.window:
        return each.window
    return max(1, math.ceil(each.limit / each.per_second)) if each.per_second else 1


def _until_whole(each: Remaining, seconds: int) -> int:
    if not each.per_second:
        return seconds
    return max(0, math.ceil((each.limit - each.remaining) / each.per_second))


def hda_words(charging: Charging, roots: Sequence[str]) -> Middleware:
    """Return a middleware that says errors and rates below some paths as HDA does; it stands outside of the others."""
    below = tuple(roots)

    @web.middleware
    async def said(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if response.prepared or not request.path.startswith(below):
            return response
        if isinstance(response, web.Response) and response.content_type == PROBLEM and response.status >= 400:
            _say(request, response)
        principal = request.get(PRINCIPAL)
        if principal is not None:
            response.headers.update(rate_headers(charging.remaining(principal.charge)))
        return response

    return said


def _say(request: web.Request, response: web.Response) -> None:
    known = request.get(TRACED)
    ticket = known.request_id if known is not None else response.headers.get(REQUEST_ID, "")
    body = response.body
    problem: Json = msgspec.json.decode(body) if isinstance(body, bytes) else {"status": response.status}
    response.body = msgspec.json.encode(hda_error(problem, ticket))
    response.headers[hdrs.CONTENT_TYPE] = "application/json"
