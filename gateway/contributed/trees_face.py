"""``POST /collections/{collection}/tree``: read a collection from a bucket tree of user-generated data."""

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from edges.site.bodies import json_response
from gateway.bodies import read_object
from gateway.contributed.face import NotKept, Writing, begun
from gateway.contributed.trees import TreeReading


class TreesFace:
    """Serves the reading of trees; ``reading`` is None where users' collections are not kept."""

    def __init__(self, *, reading: TreeReading | None, writing: Writing | None) -> None:
        self._reading = reading
        self._writing = writing

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/collections/{collection}/tree", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        """Read what is new, changed or gone of the tree that the body names: ``{"tree": "lumi"}``."""
        principal, _ = await begun(request, self._writing)
        if self._reading is None:
            raise NotKept("this gateway keeps no collections of users; an operator sets `contributed` to have them")
        body = await read_object(request, right='an object {"tree": ...}', limit=16_384)
        tree = body.get("tree")
        if not isinstance(tree, str):
            raise InvalidInput("tree", "missing or no text", "the name of a tree")
        report = await self._reading.read(principal, request.match_info["collection"], tree)
        response = json_response(msgspec.to_builtins(report))
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response
