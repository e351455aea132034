"""The composition root: builds everything, owns every lifetime. Nobody else constructs.

Lifetimes are entered in order and left in reverse: the listener closes first, the ledger and the stores last.
"""

import asyncio
import hmac
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from isal import isal_zlib
from prometheus_client import CollectorRegistry

from edges.catalogues.eodag_hub import EodagCatalogue
from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.harmonised import HarmonisedCatalogue
from edges.catalogues.mirrored import MirroredCatalogue
from edges.catalogues.stac_api import StacApiCatalogue
from edges.compute.dask_gateway import DaskGateway
from edges.compute.jupyter import JupyterGateway
from edges.http import Outbound
from edges.model import ClusterCap
from edges.observing import CallObserver
from edges.profiles.load import profile_of
from edges.registry import Registry, Site
from edges.seams import WritableCatalogue
from edges.settings import SiteSettings
from edges.storage.s3 import S3Store
from gateway.auth import (
    Attempts,
    AuthFace,
    CodeFlow,
    Issuer,
    LoginFace,
    OidcAuthenticator,
    SessionCookies,
    TokenAuthenticator,
    auth_middleware,
)
from gateway.compression import compression_middleware
from gateway.dask.clusters import Clusters
from gateway.dask.dashboards import Dashboards
from gateway.dask.face import DaskFace
from gateway.dask.model import ClusterRoute, Terms
from gateway.dask.session import Doorman
from gateway.kernels.credentials import IssuedKernelTokens
from gateway.kernels.face import KernelFace
from gateway.kernels.kernels import Kernels
from gateway.kernels.model import KernelRecord
from gateway.kernels.starting import KernelTerms
from gateway.listener import Listener
from gateway.middleware import RequestMetrics, body_time_middleware, cors_middleware, problems_middleware
from gateway.placement.face import PlacementFace
from gateway.placement.placer import FederatedPlacer
from gateway.processes.face import ProcessesFace
from gateway.proxying import EdgeProxy, ProxyLimits
from gateway.quota.admin_face import QuotaAdminFace
from gateway.quota.charging import Charging
from gateway.quota.core_hours import CoreHours
from gateway.quota.face import QuotaFace
from gateway.quota.metrics import LevelMetrics, RefusalMetrics
from gateway.readiness import Readiness
from gateway.records import RecordTable
from gateway.search.aggregation import FederatedAggregation
from gateway.search.copies import Copies
from gateway.search.copies_trust import CopiesTrust
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.search.harvest_sources import FederatedSources
from gateway.secrets import kept_key
from gateway.settings import Settings
from gateway.site_metrics import SiteMetrics
from gateway.sites import SitesFace
from gateway.stac.aggregation import AggregationFace
from gateway.stac.explain import ExplainFace
from gateway.stac.export import ExportFace
from gateway.stac.face import StacFace
from gateway.stac.harmonised import Harmonised
from harvest.harvester import Harvester
from harvest.seams import Place, World
from quotas.judging import Observer
from quotas.postgres import PostgresLedger
from quotas.sqlite import SqliteLedger

_DATA_CONNECTIONS = 1_000


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Outbound calls, apart: each notebook and long poll holds a connection, and must not starve the searches."""

    data: Outbound
    compute: Outbound


class House:
    """What all faces stand on, entered into one stack of lifetimes; each ``add`` enters one room."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, calls: Calls, *, base: str, key: bytes) -> None:
        self._settings = settings
        self._stack = stack
        self._outbound = outbound = calls.data
        self._compute = calls.compute
        self._base = base
        self._key = key
        self._state = Path(settings.server.state)
        self._routes: list[web.RouteDef] = []
        self._proxies: list[EdgeProxy] = []
        self._metrics = CollectorRegistry()
        self._watched = SiteMetrics(self._metrics)
        self._registry = Registry(
            [Site(site, self._catalogue(site)) for site in settings.sites],
            probe_seconds=settings.limits.probe_seconds,
        )
        refusals = RefusalMetrics(self._metrics)
        self._ledger = _ledger(settings, refusals.observe)
        self._charging = Charging(self._ledger)
        self._authenticator = TokenAuthenticator(settings.auth, state=self._state)
        self._oidc = OidcAuthenticator(
            [Issuer(settings=issuer, session=outbound.session) for issuer in settings.auth.issuers]
        )
        secure = base.startswith("https://")
        self._cookies = SessionCookies(key, secure=secure)
        # A key apart: a browser's session of half a day must not pass as a Dask client's cookie of minutes.
        dask_cookies = SessionCookies(hmac.digest(key, b"dask cookies", "sha256"), secure=secure)
        self._doorman = Doorman(signer=dask_cookies, secure=secure)
        self._copies_trust = CopiesTrust(registry=self._registry, audit_seconds=settings.limits.probe_seconds)
        self._federation = Federation(
            registry=self._registry,
            cursors=Cursors(
                key=key,
                former=[secret.reveal().encode() for secret in settings.auth.former_signing_keys],
                lifetime_seconds=settings.limits.cursor_seconds,
            ),
            deadline_seconds=settings.limits.deadline_seconds,
            stages=(Copies(trust=self._copies_trust),),
            observe=self._watched.given,
        )
        self._placer = FederatedPlacer(federation=self._federation, registry=self._registry, ledger=self._ledger)

    async def add_foundations(self) -> None:
        """Open the ledger and the tokens, and learn of the sites."""
        await self._stack.enter_async_context(self._ledger)
        levels = LevelMetrics(self._metrics, ledger=self._ledger)
        await self._stack.enter_async_context(levels.running())
        await self._stack.enter_async_context(self._authenticator.running())
        await self._stack.enter_async_context(self._oidc.running())
        await self._stack.enter_async_context(self._registry.probing())
        await self._stack.enter_async_context(self._copies_trust.running())

    async def add_catalogue(self) -> None:
        """Add search, sites, placement, quotas and sign-in."""
        charging = self._charging
        await self._stack.enter_async_context(charging.running())
        limits = self._settings.limits
        stac = StacFace(
            federation=self._federation, registry=self._registry, charging=charging, limits=limits, base=self._base
        )
        self._routes += [
            *stac.routes(),
            *self._export_face(charging).routes(),
            *self._aggregation_face(charging).routes(),
            *self._explain_face(charging).routes(),
            *SitesFace(registry=self._registry, metrics=self._metrics, watched=self._watched).routes(),
            *PlacementFace(placer=self._placer, charging=charging, page_items=limits.page_items).routes(),
            *QuotaAdminFace(office=self._ledger).routes(),
            *QuotaFace(ledger=self._ledger, public_url=self._base).routes(),
            *AuthFace(authenticator=self._authenticator, cookies=self._cookies, others=[self._oidc]).routes(),
            *self._login_face().routes(),
        ]

    def _catalogue(self, site: SiteSettings) -> WritableCatalogue:
        catalogue: WritableCatalogue
        if site.catalogue.eodag is not None:
            catalogue = EodagCatalogue(site=site.id, settings=site.catalogue, state=self._state)
        else:
            catalogue = _stac_api(site, self._outbound.session, self._watched)
        return HarmonisedCatalogue(GuardedCatalogue(catalogue), profile_of(site.catalogue), site=site.id)

    def _aggregation_face(self, charging: Charging) -> AggregationFace:
        limits = self._settings.limits
        aggregation = FederatedAggregation(
            federation=self._federation,
            registry=self._registry,
            deadline_seconds=limits.deadline_seconds,
            items=limits.aggregate_items,
        )
        return AggregationFace(
            aggregation=aggregation,
            harmonised=Harmonised(registry=self._registry, base=self._base),
            charging=charging,
        )

    def _explain_face(self, charging: Charging) -> ExplainFace:
        return ExplainFace(
            federation=self._federation, registry=self._registry, charging=charging, limits=self._settings.limits
        )

    def _export_face(self, charging: Charging) -> ExportFace:
        return ExportFace(
            federation=self._federation,
            registry=self._registry,
            charging=charging,
            limits=self._settings.limits,
            base=self._base,
            folder=self._state / "exports",
        )

    def _login_face(self) -> LoginFace:
        return LoginFace(
            flow=CodeFlow(oidc=self._oidc, session=self._outbound.session, base=self._base),
            authenticator=self._authenticator,
            cookies=self._cookies,
            attempts=Attempts(self._key),
            secure=self._base.startswith("https://"),
        )

    async def add_clusters(self) -> Clusters:
        """Add the Dask Gateway face; the listener routes comms by what it returns."""
        compute = self._settings.compute
        cap = ClusterCap(cores=compute.cluster_cores, memory=compute.cluster_memory)
        routes = await self._stack.enter_async_context(RecordTable(self._state / "clusters.sqlite", ClusterRoute))
        clusters = Clusters(
            backends={site.id: _dask(site, self._compute.session) for site in self._settings.sites if site.dask},
            routes=routes,
            ledger=self._ledger,
            placer=self._placer,
            terms=Terms(cap=cap, lease_seconds=self._settings.quotas.lease_seconds),
        )
        await self._stack.enter_async_context(clusters.running(reconcile_seconds=compute.reconcile_seconds))
        await self._stack.enter_async_context(CoreHours(self._ledger).running())
        dashboards = Dashboards(clusters=clusters, doorman=self._doorman, proxy=self._proxy(), origins=[self._base])
        self._routes += [*DaskFace(clusters=clusters, doorman=self._doorman).routes(), *dashboards.routes()]
        return clusters

    async def add_kernels(self) -> None:
        """Add the Jupyter face."""
        records = await self._stack.enter_async_context(RecordTable(self._state / "kernels.sqlite", KernelRecord))
        kernels = Kernels(
            backends={site.id: _kernels(site, self._compute.session) for site in self._settings.sites if site.kernels},
            records=records,
            ledger=self._ledger,
            placer=self._placer,
            terms=KernelTerms(gateway_url=self._base, lease_seconds=self._settings.quotas.lease_seconds),
            credentials=IssuedKernelTokens(authenticator=self._authenticator),
        )
        seconds = self._settings.compute.reconcile_seconds
        await self._stack.enter_async_context(kernels.running(reconcile_seconds=seconds))
        self._routes += KernelFace(kernels=kernels, proxy=self._proxy(), origins=[self._base]).routes()

    async def add_harvests(self) -> None:
        """Add the harvester and its OGC API Processes face."""
        sources = FederatedSources(federation=self._federation, registry=self._registry, base=self._base)
        places = {site.id: await self._place(site) for site in self._registry.sites() if site.settings.storage}
        world = World(
            search=sources,
            describe=sources.describe,
            places=places,
            ledger=self._ledger,
            session=self._outbound.session,
            check=self._outbound.check,
        )
        harvester = Harvester(
            path=self._state / "harvest.sqlite",
            settings=self._settings.harvest,
            world=world,
            lease_seconds=self._settings.quotas.lease_seconds,
        )
        await self._stack.enter_async_context(harvester)
        self._routes += ProcessesFace(harvester=harvester, base=self._base).routes()

    async def _place(self, site: Site) -> Place:
        storage = site.settings.storage
        if storage is None:
            raise ValueError(f"{site.id} has no storage")
        store = S3Store(site=site.id, settings=storage, session=self._outbound.session)
        writable = site.settings.catalogue.write_token is not None
        return Place(
            site=site.id,
            store=await self._stack.enter_async_context(store),
            bucket=storage.bucket,
            endpoint=storage.endpoint,
            region=storage.region,
            catalogue=site.catalogue if writable else None,
        )

    def _proxy(self) -> EdgeProxy:
        proxy = EdgeProxy(
            session=self._compute.session,
            limits=ProxyLimits(message_bytes=self._settings.compute.max_kernel_message),
        )
        self._proxies.append(proxy)
        return proxy

    def add_readiness(self, draining: asyncio.Event) -> None:
        """Add the answers to whether the gateway lives and can serve; not while ``draining`` is set."""
        self._routes += Readiness({"state": self._state_open, "sites": self._sites_known}, draining=draining).routes()

    async def _state_open(self) -> str:
        await self._ledger.policies()
        return ""

    async def _sites_known(self) -> str:
        return "" if self._registry.probed else "the sites were not asked yet"

    def application(self) -> web.Application:
        """Return the application of all routes added."""
        settings = self._settings
        app = web.Application(
            client_max_size=settings.limits.body_bytes,
            middlewares=[
                RequestMetrics(self._metrics).middleware(),
                cors_middleware,
                compression_middleware,
                problems_middleware,
                body_time_middleware(settings.limits.body_seconds),
                auth_middleware(
                    [self._authenticator, self._oidc],
                    settings=settings.auth,
                    cookies=self._cookies,
                    public_url=self._base,
                ),
            ],
        )
        app.add_routes(self._routes)
        app.on_response_prepare.append(self._charging.tell)
        app.on_shutdown.append(self._hang_up)
        return app

    async def _hang_up(self, app: web.Application) -> None:
        """Close proxied websockets at once, so that a shutdown does not wait for them."""
        await asyncio.gather(*(proxy.close() for proxy in self._proxies))


async def furnish(settings: Settings, stack: AsyncExitStack) -> tuple[House, Clusters]:
    """Build the house with all its rooms, into a stack of lifetimes; its clusters are what comms are routed by."""
    key = _signing_key(settings)
    allowed = _allowed(settings)
    calls = Calls(
        data=await stack.enter_async_context(Outbound(allowed=allowed, connections=_DATA_CONNECTIONS)),
        compute=await stack.enter_async_context(Outbound(allowed=allowed)),
    )
    house = House(settings, stack, calls, base=public_url(settings), key=key)
    await house.add_foundations()
    await house.add_catalogue()
    clusters = await house.add_clusters()
    await house.add_kernels()
    await house.add_harvests()
    return house, clusters


@asynccontextmanager
async def running_gateway(settings: Settings, *, draining: asyncio.Event | None = None) -> AsyncIterator[str]:
    """Run the gateway while the context lasts; yield the URL that it listens at.

    While ``draining`` is set it serves, and says that it is not ready for more.

    Raises:
        OSError: the address cannot be bound, or the state folder not written.
        LookupError: a secret cannot be read.
    """
    aiohttp.set_zlib_backend(isal_zlib)
    base = public_url(settings)
    async with AsyncExitStack() as stack:
        house, clusters = await furnish(settings, stack)
        house.add_readiness(draining or asyncio.Event())
        runner = web.AppRunner(house.application(), access_log=None, shutdown_timeout=settings.server.shutdown_seconds)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        if runner.server is None:
            raise RuntimeError("the runner has no server after its setup")
        listener = Listener(http=runner.server, routes=clusters)
        await stack.enter_async_context(listener.serving(settings.server.host, settings.server.port))
        yield base


async def serve_gateway(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT; ``ready`` is told the URL once it listens.

    Before it stops it says for ``drain_seconds`` that it is not ready, so that nobody sends it more.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_gateway(settings, draining=stop) as url:
        ready(url)
        await stop.wait()
        await asyncio.sleep(settings.server.drain_seconds)


def public_url(settings: Settings) -> str:
    """Return the URL that users see."""
    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return server.public_url.rstrip("/") or f"http://{host}:{server.port}"


def _signing_key(settings: Settings) -> bytes:
    """Return the given key, or the one kept in the state folder, which is made where it is missing."""
    state = Path(settings.server.state)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = settings.auth.signing_key
    return given.reveal().encode() if given is not None else kept_key(state / "signing.key")


def _allowed(settings: Settings) -> list[str]:
    """Return the private addresses that an operator has named by configuring them."""
    urls = [*settings.harvest.allowed_origins, *(issuer.issuer for issuer in settings.auth.issuers)]
    for site in settings.sites:
        urls += [site.catalogue.url] if site.catalogue.url else []
        urls += [*site.catalogue.mirrors, *site.asset_origins]
        urls += [part.url for part in (site.dask, site.kernels) if part is not None]
        urls += [site.storage.endpoint] if site.storage is not None else []
    return urls


def _ledger(settings: Settings, observer: Observer) -> PostgresLedger | SqliteLedger:
    """Return the ledger in the database that is named, or in the state folder."""
    quotas = settings.quotas
    if quotas.database is not None:
        dsn, schema = quotas.database.reveal(), quotas.database_schema
        return PostgresLedger(dsn, quotas.policies, schema=schema, observer=observer)
    return SqliteLedger(Path(settings.server.state) / "quotas.sqlite", quotas.policies, observer=observer)


def _stac_api(site: SiteSettings, session: aiohttp.ClientSession, observer: CallObserver) -> WritableCatalogue:
    first, *mirrors = [
        StacApiCatalogue(
            site=site.id,
            settings=msgspec.structs.replace(site.catalogue, url=url),
            session=session,
            observer=observer,
        )
        for url in (site.catalogue.url, *site.catalogue.mirrors)
    ]
    if mirrors:
        return MirroredCatalogue(site=site.id, first=first, mirrors=mirrors, observer=observer)
    return first


def _dask(site: SiteSettings, session: aiohttp.ClientSession) -> DaskGateway:
    if site.dask is None:
        raise ValueError(f"{site.id} has no Dask Gateway")
    return DaskGateway(
        edge=site.id,
        url=site.dask.url,
        secret=site.dask.secret.reveal(),
        session=session,
        proxy_address=site.dask.proxy_address,
        timeout_seconds=site.dask.timeout_seconds,
    )


def _kernels(site: SiteSettings, session: aiohttp.ClientSession) -> JupyterGateway:
    if site.kernels is None:
        raise ValueError(f"{site.id} has no kernel gateway")
    return JupyterGateway(
        edge=site.id,
        url=site.kernels.url,
        token=site.kernels.token.reveal(),
        session=session,
        timeout_seconds=site.kernels.timeout_seconds,
    )
