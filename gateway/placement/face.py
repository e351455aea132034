"""``POST /placement``: where a computation would run, and why, without starting anything."""

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.request import search_from_post
from gateway.placement.placer import FederatedPlacer
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from quotas.model import Line

_RESOURCES = ("clusters", "cores", "memory", "gpus", "kernels")
_SEARCH_MEMBERS = frozenset({"collections", "ids", "bbox", "intersects", "datetime", "filter", "query"})


class PlacementFace:
    """Serves placements dry. The body is a STAC search, plus ``edge``, ``cores``, ``memory`` (bytes), ``kernels``."""

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
        body = await request.read()
        needs = _members(body)
        wish = needs.pop("edge", None)
        if wish in ("", "auto"):
            wish = None
        if wish is not None and not isinstance(wish, str):
            raise InvalidInput("edge", f"got {type(wish).__name__}", "the id of an edge, or `auto`")
        lines = [Line(resource=name, amount=_amount(name, needs.pop(name))) for name in _RESOURCES if name in needs]
        queries = []
        if _SEARCH_MEMBERS.intersection(needs):
            search = search_from_post(
                msgspec.json.encode(needs | {"limit": self._page_items}),
                default_limit=self._page_items,
                max_limit=self._page_items,
            )
            queries.append(search.query)
        if queries:
            await self._charging.request(principal)
        placement = await self._placer.rank(queries, principal, wish=wish, lines=lines)
        return web.Response(body=msgspec.json.encode(placement), content_type="application/json")


def _members(body: bytes) -> Json:
    try:
        return msgspec.json.decode(body or b"{}", type=Json)
    except msgspec.DecodeError as error:
        raise InvalidInput("body", str(error), "a JSON object: a STAC search plus edge, cores, memory") from error


def _amount(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidInput(name, f"got {value!r}", "a number of 0 or more")
    return float(value)
