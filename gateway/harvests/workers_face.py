"""``/harvest-runs``: what workers far from the gateway ask and tell. For them alone: they show their run's token."""

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from harvest.desk_counter import Counter
from harvest.desk_wire import TOKEN_HEADER, Deed

_DEED = msgspec.json.Decoder(Deed)
_SECRET = {"Cache-Control": "no-store"}
"""Answers hold keys to buckets."""


class WorkersFace:
    """Serves far workers by a counter."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            web.post("/harvest-runs/{run}/terms", self._terms),
            web.post("/harvest-runs/{run}/{verb}", self._act),
        ]

    async def _terms(self, request: web.Request) -> web.Response:
        terms = await self._counter.terms(request.match_info["run"], _token(request))
        return _answer(terms)

    async def _act(self, request: web.Request) -> web.Response:
        try:
            deed = _DEED.decode(await request.read())
        except msgspec.DecodeError as error:
            raise InvalidInput("body", str(error)[:200], "an act on a claim") from error
        run, verb = request.match_info["run"], request.match_info["verb"]
        return _answer(await self._counter.serve(run, _token(request), verb, deed))


def _token(request: web.Request) -> str:
    return request.headers.get(TOKEN_HEADER, "")


def _answer(value: object) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, content_type="application/json", headers=_SECRET)
