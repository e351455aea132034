"""``/quotas/policies`` and ``/quotas/grants``: seen by those whom they bind, changed by administrators."""

import time
import uuid
from collections.abc import Callable

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.bodies import read_object
from gateway.principal import Principal, user_of
from gateway.quota import words
from gateway.quota.access import check_admin, sees
from gateway.quota.face import json_response
from quotas.errors import UnknownGrant, UnknownPolicy
from quotas.ledger import PolicyOffice
from quotas.model import Policy
from quotas.records import Grant

MAX_BODY = 65_536
MAX_WHY = 500
LONGEST_GRANT_SECONDS = 366 * 86_400.0


class _NewGrant(Frozen):
    """The body of ``POST /quotas/grants``: over in ``expires_in`` seconds."""

    policy: str
    holder: str
    amount: float
    expires_in: float
    why: str

    def __post_init__(self) -> None:
        if not 0 < self.expires_in <= LONGEST_GRANT_SECONDS:
            raise ValueError(f"expires_in must be more than 0 and at most {LONGEST_GRANT_SECONDS:g} seconds")


class QuotaAdminFace:
    """Policies and temporary grants, while the gateway runs. Each change is in the history, with who and why."""

    def __init__(self, *, office: PolicyOffice, clock: Callable[[], float] = time.time) -> None:
        self._office = office
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/quotas/policies", self._policies),
            web.get("/quotas/policies/{name}", self._policy),
            web.put("/quotas/policies/{name}", self._put),
            web.delete("/quotas/policies/{name}", self._delete),
            web.get("/quotas/grants", self._grants),
            web.post("/quotas/grants", self._grant),
            web.delete("/quotas/grants/{id}", self._revoke),
        ]

    async def _policies(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        seen = [each for each in await self._office.policies() if sees(principal, each.policy.group)]
        return json_response({"policies": [words.told_policy(each) for each in seen]})

    async def _policy(self, request: web.Request) -> web.Response:
        return json_response(await self._told(request.match_info["name"], user_of(request)))

    async def _told(self, name: str, principal: Principal) -> Json:
        for stored in await self._office.policies():
            if stored.policy.name == name and sees(principal, stored.policy.group):
                return words.told_policy(stored)
        raise UnknownPolicy(f"no policy {name[:200]!r} binds your groups")

    async def _put(self, request: web.Request) -> web.Response:
        admin = _admin(request)
        name = request.match_info["name"]
        body = await read_object(request, right="a policy, and `why`", limit=MAX_BODY)
        why = _why(body.pop("why", None))
        if body.setdefault("name", name) != name:
            raise InvalidInput("name", f"got {str(body['name'])[:100]!r}", f"{name!r}, as in the address, or none")
        try:
            policy = msgspec.convert(body, Policy)
        except msgspec.ValidationError as error:
            right = "group, resource, kind, amount and what else a policy of the configuration has"
            raise InvalidInput("body", str(error), right) from error
        await self._office.put_policy(policy, by=admin.user, why=why)
        return json_response(await self._told(name, admin))

    async def _delete(self, request: web.Request) -> web.Response:
        admin = _admin(request)
        await self._office.delete_policy(request.match_info["name"], by=admin.user, why=_why(request.query.get("why")))
        return web.Response(status=204)

    async def _grants(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        seen = [each for each in await self._office.grants() if sees(principal, each.holder.partition("/~")[0])]
        return json_response({"grants": [words.told_grant(each) for each in seen]})

    async def _grant(self, request: web.Request) -> web.Response:
        """Raise a limit for a time; with an ``Idempotency-Key``, once however often it is sent."""
        admin = _admin(request)
        body = await read_object(request, right="policy, holder, amount, expires_in, why", limit=MAX_BODY)
        key = request.headers.get("Idempotency-Key")
        try:
            wanted = msgspec.convert(body, _NewGrant)
            grant = Grant(
                id=f"g-{uuid.uuid4().hex}" if key is None else f"k-{key[:200]}",
                policy=wanted.policy,
                holder=wanted.holder,
                amount=wanted.amount,
                expires_at=self._clock() + wanted.expires_in,
                by=admin.user,
                why=_why(wanted.why),
            )
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidInput("body", str(error), "policy, holder, amount, expires_in (seconds), why") from error
        known = next((each for each in await self._office.grants() if each.id == grant.id), None)
        if known is not None and key is not None:
            grant = msgspec.structs.replace(grant, expires_at=known.expires_at)
        await self._office.grant(grant)
        return json_response(words.told_grant(grant), status=201 if known is None else 200)

    async def _revoke(self, request: web.Request) -> web.Response:
        admin = _admin(request)
        grant_id = request.match_info["id"]
        if not grant_id.isprintable():
            raise UnknownGrant("there is no such grant")
        await self._office.revoke(grant_id, by=admin.user, why=_why(request.query.get("why")))
        return web.Response(status=204)


def _admin(request: web.Request) -> Principal:
    principal = user_of(request)
    check_admin(principal)
    return principal


def _why(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_WHY or not value.isprintable():
        raise InvalidInput("why", "missing, or no short text", f"the reason, of 1 to {MAX_WHY} characters")
    return value.strip()
