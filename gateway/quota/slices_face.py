"""``/edges/{edge}/slices``: an edge sets a part of the quota aside, to spend it by itself while it is cut off.

The edge proves itself by the secret that the configuration names for it; users do not come here. A slice belongs to
the edge whose address it is under, whatever its id.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from edges.settings import EscrowSettings
from gateway.bodies import read_object
from gateway.quota.face import json_response
from quotas.errors import QuotaExceeded
from quotas.ledger import Slices
from quotas.model import RESOURCES, Line, Refusal
from quotas.records import Slice, Spent

HEADER = "X-Lakegate-Edge-Secret"
MIN_SECRET_BYTES = 32
MAX_BODY = 262_144
MAX_ID = 100


Body = TypeVar("Body")


class NotThisEdge(Exception):
    """The secret is not that of the edge, or the edge sets nothing aside."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Not this edge"


class _Opening(Frozen):
    """The body of ``PUT``: so much of each resource, for ``ttl`` seconds."""

    group: str
    amounts: dict[str, float]
    ttl: float


class _Renewing(Frozen):
    """The body of ``POST .../renew``."""

    ttl: float


class _Settling(Frozen):
    """The body of ``POST .../settle``: what users really spent."""

    spent: tuple[Spent, ...]


class SlicesFace:
    """Opens, renews and settles the slices of edges, within what the configuration lets each of them hold.

    Raises:
        LookupError: an edge's secret cannot be read.
        ValueError: it is too short, or a resource is none.
    """

    def __init__(self, *, ledger: Slices, edges: Mapping[str, EscrowSettings]) -> None:
        self._ledger = ledger
        self._edges = edges
        self._secrets = {edge: _digest(_checked(edge, settings)) for edge, settings in edges.items()}
        self._opening = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/edges/{edge}/slices", self._list),
            web.put("/edges/{edge}/slices/{id}", self._open),
            web.post("/edges/{edge}/slices/{id}/renew", self._renew),
            web.post("/edges/{edge}/slices/{id}/settle", self._settle),
        ]

    def _edge(self, request: web.Request) -> tuple[str, EscrowSettings]:
        edge = request.match_info["edge"]
        known = self._secrets.get(edge, b"")
        if not hmac.compare_digest(known, _digest(request.headers.get(HEADER, ""))):
            raise NotThisEdge(f"send the secret of edge {edge[:64]!r} as {HEADER}; its operator has it")
        return edge, self._edges[edge]

    async def _list(self, request: web.Request) -> web.Response:
        edge, _ = self._edge(request)
        return json_response({"slices": [_told(each) for each in await self._ledger.slices(edge)]})

    async def _open(self, request: web.Request) -> web.Response:
        edge, settings = self._edge(request)
        body = await read_object(request, right="group, amounts, ttl", limit=MAX_BODY)
        wanted = _read(body, _Opening, right="group, amounts ({resource: amount}), ttl (seconds)")
        slice_id = _id(edge, request)
        async with self._opening:  # so that two of one edge are not both measured against what it holds now
            held = [each for each in await self._ledger.slices(edge) if each.id != slice_id]
            check_opening(wanted.group, wanted.amounts, held, settings)
            lines = [Line(resource=name, amount=amount, edge=edge) for name, amount in sorted(wanted.amounts.items())]
            ttl = _ttl(wanted.ttl, settings)
            answer = await self._ledger.open_slice(slice_id, edge, wanted.group, lines, ttl=ttl, why="set aside")
        if isinstance(answer, Refusal):
            raise QuotaExceeded(answer)
        return json_response(_told(answer))

    async def _renew(self, request: web.Request) -> web.Response:
        edge, settings = self._edge(request)
        body = await read_object(request, right="ttl", limit=MAX_BODY)
        ttl = _ttl(_read(body, _Renewing, right="ttl (seconds)").ttl, settings)
        return json_response(_told(await self._ledger.renew_slice(_id(edge, request), ttl=ttl)))

    async def _settle(self, request: web.Request) -> web.Response:
        edge, _ = self._edge(request)
        body = await read_object(request, right="spent", limit=MAX_BODY)
        wanted = _read(body, _Settling, right="spent: a list of user, resource, amount")
        await self._ledger.settle_slice(_id(edge, request), wanted.spent)
        return web.Response(status=204)


def check_opening(group: str, amounts: Mapping[str, float], held: Sequence[Slice], settings: EscrowSettings) -> None:
    """Check that an edge may set that much aside of a group beside what it holds already.

    Raises:
        NotThisEdge: the group is none of the edge's.
        InvalidInput: a resource is not the edge's to set aside, or it is too much.
    """
    if group not in settings.groups:
        raise NotThisEdge(f"group {group[:200]!r} is none of this edge's: {', '.join(settings.groups)}")
    if not amounts:
        raise InvalidInput("amounts", "empty", f"some of {', '.join(settings.most)}")
    for resource, amount in amounts.items():
        if resource not in settings.most:
            raise InvalidInput("amounts", f"{resource[:64]!r} is not set aside here", f"of {', '.join(settings.most)}")
        lines = (line for each in held if each.group == group for line in each.lines if line.resource == resource)
        left = settings.most[resource] - sum(line.amount for line in lines)
        if not 0 <= amount <= left:
            raise InvalidInput("amounts", f"{amount:g} of {resource}", f"0 to {max(0.0, left):g}")


def _checked(edge: str, settings: EscrowSettings) -> str:
    unknown = [resource for resource in settings.most if resource not in RESOURCES]
    if unknown:
        raise ValueError(f"site {edge}: escrow: {unknown[0]!r} is none of {', '.join(RESOURCES)}")
    secret = settings.secret.reveal()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"site {edge}: the secret of its escrow must have {MIN_SECRET_BYTES} bytes or more")
    return secret


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _id(edge: str, request: web.Request) -> str:
    own = request.match_info["id"]
    if len(own) > MAX_ID or not own.isprintable():
        raise InvalidInput("id", "too long, or not printable", f"at most {MAX_ID} characters")
    return f"{edge}/{own}"


def _ttl(wanted: float, settings: EscrowSettings) -> float:
    if not wanted > 0:
        raise InvalidInput("ttl", f"got {wanted:g}", "seconds, more than 0")
    return min(wanted, settings.longest_seconds)


def _read(body: Json, kind: type[Body], *, right: str) -> Body:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput("body", str(error), right) from error


def _told(part: Slice) -> Json:
    told: Json = msgspec.to_builtins(part)
    return told
