"""What all rooms stand on: settings, sites, ledger, search, and who may come in."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from edges.hops import name_of_gateway
from edges.http import Outbound
from edges.registry import Registry, Site
from edges.request_ids import request_ids, tell_request_id
from gateway.answers import kept_apart
from gateway.auth import (
    Issuer,
    OidcAuthenticator,
    SessionCookies,
    TokenAuthenticator,
    auth_middleware,
)
from gateway.compression import compression_middleware
from gateway.contributed.bulk_face import is_bulk
from gateway.dask.session import Doorman
from gateway.data.hrefs import download_href
from gateway.hops import hops_middleware
from gateway.house.adapters import catalogue_of, embedded_site, ledger_of, sites_of
from gateway.logs import access_log_middleware
from gateway.middleware import (
    RequestMetrics,
    body_time_middleware,
    browsers_middleware,
    open_to_browsers,
    problems_middleware,
)
from gateway.placement.buckets import SiteBuckets
from gateway.placement.placer import FederatedPlacer
from gateway.placement.words import Moving
from gateway.proxying import EdgeProxy, ProxyLimits
from gateway.quota.charging import Charging
from gateway.quota.metrics import LevelMetrics, RefusalMetrics
from gateway.quota.naming import holders_middleware
from gateway.readiness import Readiness, parting
from gateway.search.access import Access
from gateway.search.copies import Copies
from gateway.search.copies_trust import CopiesTrust
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.settings import Settings
from gateway.site_metrics import SiteMetrics
from gateway.tracing import Spans


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Outbound calls, apart: each notebook and long poll holds a connection, and must not starve the searches."""

    data: Outbound
    compute: Outbound
    spans: Spans | None = None


class House:
    """What all rooms stand on, entered into one stack of lifetimes; each room adds its routes."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, calls: Calls, *, base: str, key: bytes) -> None:
        self.settings = settings
        self.stack = stack
        self.outbound = calls.data
        self.compute = calls.compute
        self.spans = calls.spans
        self.base = base
        self.key = key
        self.state = Path(settings.server.state)
        self.routes: list[web.RouteDef] = []
        self.hang_ups: list[Callable[[], Awaitable[None]]] = []
        self.gatekeepers: list[Middleware] = []
        self.draining = asyncio.Event()
        self.metrics = CollectorRegistry()
        self.watched = SiteMetrics(self.metrics)
        self._embedded = embedded_site(settings)
        self.registry = self._registry()
        refusals = RefusalMetrics(self.metrics)
        self.ledger = ledger_of(settings, refusals.observe, calls.spans)
        self.charging = Charging(self.ledger)
        self.authenticator = TokenAuthenticator(settings.auth, state=self.state)
        self.oidc = OidcAuthenticator(
            [Issuer(settings=issuer, session=self.outbound.session) for issuer in settings.auth.issuers]
        )
        secure = base.startswith("https://")
        self.cookies = SessionCookies(key, secure=secure)
        # A key apart: a browser's session of half a day must not pass as a Dask client's cookie of minutes.
        dask_cookies = SessionCookies(hmac.digest(key, b"dask cookies", "sha256"), secure=secure)
        self.doorman = Doorman(signer=dask_cookies, secure=secure)
        self.copies_trust = CopiesTrust(
            registry=self.registry,
            audit_seconds=settings.limits.probe_seconds,
            sample=settings.limits.audit_items,
        )
        self.access = Access(
            registry=self.registry, address=partial(_address, base), open_roles=settings.auth.open_roles
        )
        self.federation = self._federation()
        self.buckets = SiteBuckets()
        self.placer = self._placer()

    def _registry(self) -> Registry:
        return Registry(
            [
                *(
                    Site(site, catalogue_of(site, outbound=self.outbound, state=self.state, observer=self.watched))
                    for site in sites_of(self.settings)
                ),
                *([self._embedded[0]] if self._embedded is not None else []),
            ],
            probe_seconds=self.settings.limits.probe_seconds,
        )

    def _federation(self) -> Federation:
        limits, former = self.settings.limits, self.settings.auth.former_signing_keys
        return Federation(
            registry=self.registry,
            cursors=Cursors(
                key=self.key,
                former=[secret.reveal().encode() for secret in former],
                lifetime_seconds=limits.cursor_seconds,
            ),
            deadline_seconds=limits.deadline_seconds,
            stages=(Copies(trust=self.copies_trust),),
            observe=self.watched.given,
            access=self.access,
        )

    def _placer(self) -> FederatedPlacer:
        rates = self.settings.compute
        return FederatedPlacer(
            federation=self.federation,
            registry=self.registry,
            ledger=self.ledger,
            buckets=self.buckets,
            moving=Moving(bytes_per_second=rates.moving_rate, recall_bytes_per_second=rates.recall_rate),
        )

    async def open(self) -> None:
        """Open the ledger and the tokens, and learn of the sites."""
        await self.stack.enter_async_context(self.ledger)
        levels = LevelMetrics(self.metrics, ledger=self.ledger)
        await self.stack.enter_async_context(levels.running())
        await self.stack.enter_async_context(self.authenticator.running())
        await self.stack.enter_async_context(self.oidc.running())
        if self._embedded is not None:
            await self.stack.enter_async_context(self._embedded[1])
        await self.stack.enter_async_context(self.registry.probing())
        await self.stack.enter_async_context(self.copies_trust.running())

    def proxy(self) -> EdgeProxy:
        """Return a proxy of its own to edges' web pages and sockets; it hangs up when the gateway stops."""
        proxy = EdgeProxy(
            session=self.compute.session,
            limits=ProxyLimits(message_bytes=self.settings.compute.max_kernel_message),
        )
        self.hang_ups.append(proxy.close)
        return proxy

    def add_readiness(self, draining: asyncio.Event) -> None:
        """Add the answers to whether the gateway lives and can serve; while ``draining`` is set, clients leave."""
        self.draining = draining
        self.routes += Readiness({"state": self._state_open, "sites": self._sites_known}, draining=draining).routes()

    async def _state_open(self) -> str:
        await self.ledger.policies()
        return ""

    async def _sites_known(self) -> str:
        return "" if self.registry.probed else "the sites were not asked yet"

    def application(self) -> web.Application:
        """Return the application of all routes added."""
        settings = self.settings
        app = web.Application(
            client_max_size=settings.limits.body_bytes,
            middlewares=[
                *([request_ids(spans.sampled), spans.middleware()] if (spans := self.spans) else [request_ids()]),
                *([access_log_middleware] if settings.server.access_log else []),
                RequestMetrics(self.metrics).middleware(),
                *self.gatekeepers,
                hops_middleware(name_of_gateway(self.key)),
                browsers_middleware,
                compression_middleware,
                problems_middleware,
                body_time_middleware(settings.limits.body_seconds, patient=is_bulk),
                auth_middleware(
                    [self.authenticator, self.oidc],
                    settings=settings.auth,
                    cookies=self.cookies,
                    public_url=self.base,
                ),
                holders_middleware(self.ledger),
            ],
        )
        app.add_routes(self.routes)
        app.on_response_prepare.append(self.charging.tell)
        app.on_response_prepare.append(kept_apart(lambda: self.access.restricts))
        app.on_response_prepare.append(open_to_browsers)
        app.on_response_prepare.append(tell_request_id)
        app.on_response_prepare.append(parting(self.draining))
        app.on_shutdown.append(self._hang_up)
        return app

    async def _hang_up(self, app: web.Application) -> None:
        """Close proxied websockets at once, so that a shutdown does not wait for them."""
        await asyncio.gather(*(hang_up() for hang_up in self.hang_ups))


def _address(base: str, site: str, collection: str, item: str, asset: str) -> str:
    return download_href(base, site=site, collection=collection, item=item, asset=asset)
