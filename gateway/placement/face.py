"""``POST /placement``: where a computation would run, and why, without starting anything."""

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Json
from gateway.placement.placer import FederatedPlacer
from gateway.placement.requests import read_amount, read_prefix, read_queries, read_versions
from gateway.placement.seam import ComputeKind, ComputeNeed
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.quota.problem import again, violated

_KINDS: dict[str, ComputeKind] = {"cluster": "cluster", "kernel": "kernel", "any": "any"}


class PlacementFace:
    """Serves placements dry.

    The body is a STAC search and beside it ``items`` (ids per collection), ``prefix`` (``s3://bucket/path/``),
    ``edge``, ``kind`` (``any``, ``cluster`` or ``kernel``), ``cores``, ``memory`` (bytes), ``gpus``, ``image`` and
    ``versions``.
    """

    def __init__(self, *, placer: FederatedPlacer, charging: Charging, page_items: int) -> None:
        self._placer = placer
        self._charging = charging
        self._page_items = page_items

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.post("/placement", self.place)]

    async def place(self, request: web.Request) -> web.Response:
        """Answer with ranked edges and their reasons; ``edge`` is null where none will do."""
        principal = principal_of(request)
        need = read_need(_members(await request.read()), page_items=self._page_items)
        if need.queries or need.items or need.prefix:
            await self._charging.request(principal)
        placement = await self._placer.rank(need, principal)
        told: Json = msgspec.to_builtins(placement)
        told["refused"] = None if placement.refused is None else violated(placement.refused)
        headers = {} if placement.refused is None else again(placement.refused)
        return web.Response(body=msgspec.json.encode(told), content_type="application/json", headers=headers)


def read_need(body: Json, *, page_items: int) -> ComputeNeed:
    """Read a need.

    Raises:
        InvalidInput: a member has a wrong value; what nobody knows is passed over, as in a search.
    """
    edge = body.get("edge")
    if edge in ("", "auto"):
        edge = None
    if edge is not None and not isinstance(edge, str):
        raise InvalidInput("edge", f"got {type(edge).__name__}", "the id of an edge, or `auto`")
    kind = _KINDS.get(str(body.get("kind", "any")))
    if kind is None:
        raise InvalidInput("kind", f"got {body['kind']!r:.60}", f"one of {', '.join(_KINDS)}")
    read_prefix(body.get("prefix"))
    return ComputeNeed(
        kind=kind,
        queries=read_queries(body, page_items=page_items),
        items=_items(body.get("items") or {}),
        prefix=body.get("prefix") or "",
        edge=edge,
        cores=read_amount("cores", body.get("cores", 0)),
        memory=int(read_amount("memory", body.get("memory", 0))),
        gpus=read_amount("gpus", body.get("gpus", 0)),
        image=_text("image", body.get("image")),
        versions=read_versions(body.get("versions")),
    )


def _text(name: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidInput(name, f"got {type(value).__name__}", "a text")
    return value or ""


def _items(value: object) -> dict[str, tuple[str, ...]]:
    right = "a mapping of collection to a list of item ids"
    if not isinstance(value, dict):
        raise InvalidInput("items", f"got {type(value).__name__}", right)
    for ids in value.values():
        if not isinstance(ids, list) or not all(isinstance(item_id, str) for item_id in ids):
            raise InvalidInput("items", "ids that are no list of texts", right)
    return {str(collection): tuple(ids) for collection, ids in value.items()}


def _members(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body or b"{}", type=Json)
    except msgspec.DecodeError as error:
        raise InvalidInput("body", str(error), "a JSON object: a STAC search plus edge, cores, memory") from error
