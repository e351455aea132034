"""Refusals as HTTP problems (RFC 9457), with the fields of draft-ietf-httpapi-ratelimit-headers. Pure."""

import math
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from edges.model import Frozen, Json
from gateway.quota.rate_limits import UNITS, integer, quoted
from quotas.errors import QuotaExceeded
from quotas.model import RESOURCES, Explanation, Holders, Refusal

TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class Problem(Frozen):
    """A problem response before it is one."""

    status: int
    headers: dict[str, str]
    body: Json


def problem_of_refusal(refusal: Refusal) -> Problem:
    """Say a refusal in HTTP: 429 where waiting may help, 422 where the request is more than a whole limit."""
    status = 422 if refusal.never else 429
    body: Json = {
        "type": TYPE,
        "title": QuotaExceeded.title,
        "status": status,
        "detail": detail_of(refusal),
        **violated(refusal),
    }
    return Problem(status=status, headers=_headers(refusal), body=body)


def quota_problem(error: QuotaExceeded) -> web.Response:
    """Return the response for a refusal that was raised."""
    problem = problem_of_refusal(error.refusal)
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        body=msgspec.json.encode(problem.body),
        content_type="application/problem+json",
    )


def violated(refusal: Refusal) -> Json:
    """Return the member that explains a refusal in numbers, for answers of any shape."""
    return {"violated-policies": [told(explanation) for explanation in refusal.violated]}


def told(explanation: Explanation) -> Json:
    """Return an explanation for a JSON answer: with the unit, and the time in RFC 3339."""
    fields: Json = msgspec.to_builtins(explanation)
    at = explanation.available_at
    fields["available_at"] = None if at is None else datetime.fromtimestamp(math.ceil(at), UTC).isoformat()
    fields["unit"] = RESOURCES[explanation.resource]
    fields["never_fits"] = explanation.never
    return fields


def detail_of(refusal: Refusal) -> str:
    """Say a refusal to a person: what is taken and by whom, when it fits, how many wait, how much fits, whom to ask."""
    if refusal.never:
        hint = "this is more than the whole limit, so waiting does not help"
    elif refusal.retry_after is None:
        hint = "it fits again when something is given back"
    else:
        hint = f"it fits again in {_seconds(refusal.retry_after)} s at the latest"
    parts = [refusal.sentence(), hint]
    positions = [each.position for each in refusal.violated if each.position is not None]
    if positions:
        parts.append(f"position {max(positions)} of those that wait")
    fits = [f"{amount:g} {RESOURCES[name]}" for name, amount in refusal.admissible.items() if amount > 0]
    if fits and len(fits) == len(refusal.admissible):
        parts.append(f"{', '.join(fits)} would fit now")
    parts += [
        f"{each.resource} of {each.policy!r} held now: {who}"
        for each in refusal.violated
        if isinstance(each.holders, Holders) and (who := each.holders.sentence())
    ]
    contacts = sorted({explanation.contact for explanation in refusal.violated if explanation.contact})
    if contacts:
        parts.append(f"ask {', '.join(contacts)} for more")
    return "; ".join(parts)


def again(refusal: Refusal) -> dict[str, str]:
    """Return the header that says when to come again, where that helps."""
    if refusal.retry_after is None or refusal.never:
        return {}
    return {"Retry-After": str(_seconds(refusal.retry_after))}


def _headers(refusal: Refusal) -> dict[str, str]:
    headers = again(refusal)
    countable = [each for each in refusal.violated if each.resource in UNITS]
    if countable:
        headers["RateLimit-Policy"] = ", ".join(_policy(each) for each in countable)
        headers["RateLimit"] = ", ".join(_state(each, refusal) for each in countable)
    return headers


def _policy(explanation: Explanation) -> str:
    unit = UNITS[explanation.resource]
    return f"{quoted(explanation.policy)};q={integer(explanation.limit)}" + (f';qu="{unit}"' if unit else "")


def _state(explanation: Explanation, refusal: Refusal) -> str:
    remaining = integer(explanation.limit - explanation.used - explanation.reserved)
    wait = "" if refusal.retry_after is None else f";t={_seconds(refusal.retry_after)}"
    return f"{quoted(explanation.policy)};r={remaining}{wait}"


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))
