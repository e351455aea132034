"""``/quota`` at an edge's own site server: its services reserve from the slices, also while the gateway is gone."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.bodies import read_object
from gateway.principal import Unauthenticated
from gateway.quota.edge_slices import SliceKeeper
from gateway.quota.face import json_response
from gateway.quota.problem import quota_problem
from quotas.errors import QuotaExceeded
from quotas.escrow import EdgePurse
from quotas.model import Charge, Line, Refusal

MAX_BODY = 65_536
MAX_LINES = 32


class _Reserving(Frozen):
    """The body of ``PUT /quota/reservations/{key}``: who, so much of each resource, for ``ttl`` seconds."""

    group: str
    user: str
    amounts: dict[str, float]
    ttl: float
    why: str = ""


class EdgeQuotaFace:
    """Reserve, renew, commit and release from the edge's slices; ``secret`` is what its own services send."""

    def __init__(self, *, purse: EdgePurse, keeper: SliceKeeper, secret: str) -> None:
        self._purse = purse
        self._keeper = keeper
        self._secret = _digest(secret)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/quota/slices", self._guarded(self._slices)),
            web.put("/quota/reservations/{key}", self._guarded(self._reserve)),
            web.post("/quota/reservations/{key}/renew", self._guarded(self._renew)),
            web.post("/quota/reservations/{key}/commit", self._guarded(self._commit)),
            web.delete("/quota/reservations/{key}", self._guarded(self._release)),
        ]

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(self._secret, _digest(secret.strip())):
                raise Unauthenticated("send the edge's local secret as `Authorization: Bearer ...`")
            try:
                return await handler(request)
            except QuotaExceeded as error:
                return quota_problem(error)

        return guarded

    async def _slices(self, _: web.Request) -> web.Response:
        left = await self._purse.left()
        told = [{**msgspec.to_builtins(part), "left": left[part.id]} for part in self._purse.slices()]
        last = self._keeper.last
        return json_response({"gateway_reached": last.reached, "refused": last.refused, "slices": told})

    async def _reserve(self, request: web.Request) -> web.Response:
        body = await read_object(request, right="group, user, amounts, ttl", limit=MAX_BODY)
        try:
            wanted = msgspec.convert(body, _Reserving)
            charge = Charge(group=wanted.group, user=wanted.user)
            lines = [Line(resource=name, amount=amount) for name, amount in sorted(wanted.amounts.items())]
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidInput(
                "body", str(error), "group, user, amounts ({resource: amount}), ttl (seconds)"
            ) from error
        if not 1 <= len(lines) <= MAX_LINES:
            raise InvalidInput("amounts", f"{len(lines)} resources", f"1 to {MAX_LINES}")
        key = request.match_info["key"]
        answer = await self._purse.reserve(key, charge, lines, ttl=wanted.ttl, why=wanted.why[:500])
        if isinstance(answer, Refusal):
            raise QuotaExceeded(answer)
        return json_response(msgspec.to_builtins(answer))

    async def _renew(self, request: web.Request) -> web.Response:
        ttl = (await _body(request)).get("ttl")
        if not isinstance(ttl, int | float) or isinstance(ttl, bool):
            raise InvalidInput("ttl", "missing, or no number", "seconds, more than 0")
        return json_response(msgspec.to_builtins(await self._purse.renew(request.match_info["key"], ttl=ttl)))

    async def _commit(self, request: web.Request) -> web.Response:
        actual = (await _body(request)).get("actual")
        try:
            used = msgspec.convert(actual, dict[str, float] | None)
        except msgspec.ValidationError as error:
            raise InvalidInput("actual", str(error), "{resource: amount}, or nothing") from error
        await self._purse.commit(request.match_info["key"], used)
        return web.Response(status=204)

    async def _release(self, request: web.Request) -> web.Response:
        await self._purse.release(request.match_info["key"])
        return web.Response(status=204)


async def _body(request: web.Request) -> Json:
    return await read_object(request, right="an object", limit=MAX_BODY)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
