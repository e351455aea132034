"""Dashboards of clusters, behind our own authentication: at the edges they are open to whoever knows the URL.

A dashboard is what its cluster's owner runs. Nobody but the owner sees it, since its scripts run in our origin.
"""

from collections.abc import Collection
from urllib.parse import quote

from aiohttp import web

from edges.compute.model import Upstream
from gateway.dask.clusters import Clusters
from gateway.dask.face import error_response
from gateway.dask.session import Doorman
from gateway.origins import check_origin
from gateway.proxying import EdgeProxy


class Dashboards:
    """The routes ``/clusters/{name}/*``. ``origins`` are those whose pages may open websockets here."""

    def __init__(self, *, clusters: Clusters, doorman: Doorman, proxy: EdgeProxy, origins: Collection[str]) -> None:
        self._clusters = clusters
        self._doorman = doorman
        self._proxy = proxy
        self._origins = frozenset(origins)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.get("/clusters/{name}/{path:.*}", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._pass_on(request)
        except web.HTTPException:
            raise
        except Exception as error:
            # the boundary of this face: what has no status is a defect, and is left to the gateway's middleware
            if not isinstance(getattr(error, "status", None), int):
                raise
            return error_response(error)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        principal = self._doorman.admit(request, browser=True)
        base = self._clusters.dashboard(principal, request.match_info["name"])
        upstream = Upstream(url=_below(base.url, request), headers=base.headers)

        def remember(response: web.StreamResponse) -> None:
            self._doorman.remember(request, response, principal)

        if web.WebSocketResponse().can_prepare(request).ok:
            check_origin(request, self._origins)
            return await self._proxy.websocket(request, upstream, prepare=remember)
        return await self._proxy.stream(request, upstream, prepare=remember)


def _below(base: str, request: web.Request) -> str:
    segments = [segment for segment in request.match_info["path"].split("/") if segment not in (".", "..")]
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return f"{base}/{quote('/'.join(segments), safe='/.-_~')}{query}"
