"""Dashboards of clusters, behind our own authentication: at the edges they are open to whoever knows the URL.

A dashboard is what its cluster's owner runs. Nobody but the owner sees it; and where there is a host name for
dashboards (``dashboard_url``), its scripts run in that origin, and can do nothing in the gateway's.

There the browser comes with a ticket that the gateway has signed for it, good for seconds and for that one cluster, and
changes it for a cookie of that host.
"""

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from yarl import URL

from edges.compute.model import Upstream
from gateway.dask.clusters import Clusters
from gateway.dask.face import PINNED, error_response
from gateway.dask.session import CookieSigner, Doorman
from gateway.origins import check_origin
from gateway.own_shapes import shaped
from gateway.principal import Principal, Unauthenticated
from gateway.proxying import EdgeProxy

TICKET = "ticket"
TICKET_SECONDS = 60
COOKIE = "lakegate-dashboard"
COOKIE_SECONDS = 3600
"""How long a dashboard that is not opened anew can be looked at."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardHost:
    """The origin of dashboards alone. ``signer`` has a key of its own: what it signs opens nothing else."""

    def __init__(self, *, url: str, signer: CookieSigner) -> None:
        self._url = url.rstrip("/")
        self._host = _authority(url)
        self._secure = url.startswith("https://")
        self._signer = signer

    @property
    def origin(self) -> str:
        """Return the origin whose pages may open websockets to dashboards."""
        return str(URL(self._url).origin())

    def is_asked(self, request: web.Request) -> bool:
        """Tell whether a request came to the dashboards' host name."""
        return _authority(f"//{request.host}") == self._host

    def entrance(self, request: web.Request, principal: Principal) -> web.Response:
        """Lead a browser that the gateway knows over to the dashboards' origin."""
        ticket = self._signer.sign(principal, seconds=TICKET_SECONDS)
        location = URL(self._url + _path(request), encoded=True).update_query({TICKET: ticket})
        headers = {hdrs.LOCATION: str(location), hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"}
        return web.Response(status=303, headers=headers)

    def admit(self, request: web.Request) -> Principal | web.Response:
        """Return who looks at a dashboard, or the answer that changes a ticket for a cookie.

        Raises:
            Unauthenticated: nobody is named.
        """
        ticket = request.query.get(TICKET)
        principal = self._signer.verify(ticket) if ticket else None
        if ticket and principal is not None:
            response = web.Response(status=303, headers={hdrs.LOCATION: _path(request), hdrs.CACHE_CONTROL: "no-store"})
            response.set_cookie(
                COOKIE,
                self._signer.sign(principal, seconds=COOKIE_SECONDS),
                max_age=COOKIE_SECONDS,
                path=f"/clusters/{quote(request.match_info['name'], safe='.-')}/",
                httponly=True,
                secure=self._secure,
                samesite="Lax",
            )
            return response
        remembered = self._signer.verify(request.cookies.get(COOKIE, ""))
        if remembered is None or remembered.anonymous:
            raise Unauthenticated("open the dashboard by its link at the gateway")
        return remembered

    def middleware(self) -> Middleware:
        """Return the middleware that lets nothing but dashboards be served at their host name."""

        @web.middleware
        async def only_dashboards(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.is_asked(request) and not request.path.startswith("/clusters/"):
                raise web.HTTPNotFound(text="nothing but dashboards is served here")
            return await handler(request)

        return only_dashboards


class Dashboards:
    """The routes ``/clusters/{name}/*``. ``origins`` are those whose pages may open websockets here.

    With ``host``, the gateway's own host name only leads over to it.
    """

    def __init__(
        self,
        *,
        clusters: Clusters,
        doorman: Doorman,
        proxy: EdgeProxy,
        origins: Collection[str],
        host: DashboardHost | None = None,
    ) -> None:
        self._clusters = clusters
        self._doorman = doorman
        self._proxy = proxy
        self._origins = frozenset(origins if host is None else [host.origin])
        self._host = host

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        paths = ("/clusters/{name}/{path:.*}", PINNED + "/clusters/{name}/{path:.*}")
        return [web.get(path, self._serve) for path in paths]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        return await shaped(self._pass_on(request), error_response)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if self._host is not None and self._host.is_asked(request):
            admitted = self._host.admit(request)
            if isinstance(admitted, web.Response):
                return admitted
            return await self._proxied(request, admitted, remember=lambda _: None)
        principal = self._doorman.admit(request, browser=True)
        if self._host is not None:
            self._clusters.dashboard(principal, request.match_info["name"])
            return self._host.entrance(request, principal)

        def remember(response: web.StreamResponse) -> None:
            self._doorman.remember(request, response, principal)

        return await self._proxied(request, principal, remember=remember)

    async def _proxied(
        self, request: web.Request, principal: Principal, *, remember: Callable[[web.StreamResponse], None]
    ) -> web.StreamResponse:
        base = self._clusters.dashboard(principal, request.match_info["name"])
        upstream = Upstream(url=_below(base.url, request), headers=base.headers)
        if web.WebSocketResponse().can_prepare(request).ok:
            check_origin(request, self._origins)
            return await self._proxy.websocket(request, upstream, prepare=remember)
        return await self._proxy.stream(request, upstream, prepare=remember)


def _authority(url: str) -> tuple[str, int | None]:
    parsed = URL(url)
    port = parsed.explicit_port
    return (parsed.host or "").lower(), None if port in (80, 443) else port


def _path(request: web.Request) -> str:
    """Return the path of a dashboard page, wherever it was asked for, without its query."""
    name, path = request.match_info["name"], request.match_info["path"]
    return f"/clusters/{quote(name, safe='.-')}/{_clean(path)}"


def _clean(path: str) -> str:
    return quote("/".join(segment for segment in path.split("/") if segment not in (".", "..")), safe="/.-_~")


def _below(base: str, request: web.Request) -> str:
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return f"{base}/{_clean(request.match_info['path'])}{query}"
