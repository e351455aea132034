"""From settings to adapters: each site as the gateway reaches it, the ledger, and what may be called."""

import ssl
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from edges.catalogues.eodag_hub import EodagCatalogue
from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.harmonised import HarmonisedCatalogue
from edges.catalogues.mirrored import MirroredCatalogue
from edges.catalogues.sqlite import SqliteCatalogue
from edges.catalogues.stac_api import StacApiCatalogue
from edges.compute.dask_gateway import DaskGateway
from edges.compute.jupyter import JupyterGateway
from edges.http import Outbound
from edges.observing import CallObserver
from edges.profiles.load import profile_of
from edges.registry import Site
from edges.seams import WritableCatalogue
from edges.settings import CatalogueSettings, SiteSettings
from gateway.listener import server_context
from gateway.records import Identified, RecordTable
from gateway.records_postgres import PostgresRecordTable
from gateway.records_sqlite import SqliteRecordTable
from gateway.secrets import kept_key
from gateway.settings import Settings
from gateway.tracing import Spans
from gateway.tracing_ledger import TracedPostgresLedger, TracedSqliteLedger, traced_by
from harvest.database_postgres import PostgresDatabase
from harvest.database_sqlite import SqliteDatabase
from harvest.database_thread import DatabaseThread
from quotas.judging import Observer
from quotas.postgres import PostgresLedger, Upkeep
from quotas.sqlite import SqliteLedger

Record = TypeVar("Record", bound=Identified)


def catalogue_of(site: SiteSettings, *, outbound: Outbound, state: Path, observer: CallObserver) -> WritableCatalogue:
    """Return a site's catalogue: guarded, and in harmonised words."""
    catalogue: WritableCatalogue
    if site.catalogue.eodag is not None:
        catalogue = EodagCatalogue(site=site.id, settings=site.catalogue, state=state, observer=observer)
    else:
        catalogue = _stac_api(site, outbound, observer)
    return HarmonisedCatalogue(GuardedCatalogue(catalogue, site=site.id), profile_of(site.catalogue), site=site.id)


def sites_of(settings: Settings) -> list[SiteSettings]:
    """Return the configured sites; what users contribute is nobody's copy, whatever it says of itself."""
    own = settings.contributed.site
    return [
        msgspec.structs.replace(site, catalogue=msgspec.structs.replace(site.catalogue, disjoint=True))
        if site.id == own
        else site
        for site in settings.sites
    ]


def embedded_site(settings: Settings) -> tuple[Site, SqliteCatalogue] | None:
    """Return the site of users' collections that is kept here, and the catalogue to be opened; None without one."""
    told = settings.contributed
    if not told.site or any(site.id == told.site for site in settings.sites):
        return None
    catalogue = SqliteCatalogue(Path(settings.server.state) / "contributed.db", name=told.site)
    # An address that nobody can have (RFC 2606): nothing of this site is asked over the network.
    where = CatalogueSettings(url="http://contributed.invalid", disjoint=True)
    site = SiteSettings(id=told.site, kind="hub", title=told.title, catalogue=where)
    return Site(site, GuardedCatalogue(catalogue, site=site.id)), catalogue


def _stac_api(site: SiteSettings, outbound: Outbound, observer: CallObserver) -> WritableCatalogue:
    first, *mirrors = [
        StacApiCatalogue(
            site=site.id,
            settings=msgspec.structs.replace(site.catalogue, url=url),
            session=outbound.session,
            lines=outbound.site_lines,
            observer=observer,
        )
        for url in (site.catalogue.url, *site.catalogue.mirrors)
    ]
    if mirrors:
        return MirroredCatalogue(site=site.id, first=first, mirrors=mirrors, observer=observer)
    return first


def dask_of(site: SiteSettings, session: aiohttp.ClientSession) -> DaskGateway:
    """Return an edge's Dask Gateway."""
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


def kernels_of(site: SiteSettings, session: aiohttp.ClientSession) -> JupyterGateway:
    """Return an edge's kernel gateway."""
    if site.kernels is None:
        raise ValueError(f"{site.id} has no kernel gateway")
    return JupyterGateway(
        edge=site.id,
        url=site.kernels.url,
        token=site.kernels.token.reveal(),
        session=session,
        timeout_seconds=site.kernels.timeout_seconds,
    )


def ledger_of(settings: Settings, observer: Observer, spans: Spans | None = None) -> PostgresLedger | SqliteLedger:
    """Return the ledger in the database that is named, or in the state folder; ``spans`` record its calls."""
    quotas = settings.quotas
    keep = quotas.history_days * 86_400
    if quotas.database is not None:
        dsn, schema = quotas.database.reveal(), quotas.database_schema
        upkeep = Upkeep(keep_history_seconds=keep)
        shared = (TracedPostgresLedger if spans else PostgresLedger)(
            dsn, quotas.policies, schema=schema, observer=observer, upkeep=upkeep
        )
        return traced_by(spans, shared)
    path = Path(settings.server.state) / "quotas.sqlite"
    return traced_by(
        spans,
        (TracedSqliteLedger if spans else SqliteLedger)(
            path, quotas.policies, observer=observer, keep_history_seconds=keep
        ),
    )


def records_of(settings: Settings, name: str, kind: type[Record]) -> AbstractAsyncContextManager[RecordTable[Record]]:
    """Return a table of records: in the database that several gateways share, or in the state folder."""
    if settings.quotas.database is not None:
        return PostgresRecordTable(settings.quotas.database.reveal(), kind, name=name)
    return SqliteRecordTable(Path(settings.server.state) / f"{name}.sqlite", kind)


def harvests_of(settings: Settings) -> DatabaseThread:
    """Return the orders' database: the one that several gateways share, or a file in the state folder."""
    if settings.quotas.database is not None:
        return PostgresDatabase(settings.quotas.database.reveal())
    return SqliteDatabase(Path(settings.server.state) / "harvest.sqlite")


def public_url(settings: Settings) -> str:
    """Return the URL that users see."""
    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return server.public_url.rstrip("/") or f"http://{host}:{server.port}"


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for HTTPS, where there is a certificate.

    Raises:
        OSError: a file cannot be read, or they do not belong together.
    """
    server = settings.server
    return server_context(server.tls_certificate, server.tls_key) if server.tls_certificate else None


def signing_key_of(settings: Settings) -> bytes:
    """Return the given key, or the one kept in the state folder, which is made where it is missing."""
    state = Path(settings.server.state)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = settings.auth.signing_key
    return given.reveal().encode() if given is not None else kept_key(state / "signing.key")


def allowed_origins(settings: Settings) -> list[str]:
    """Return the private addresses that an operator has named by configuring them."""
    urls = [*settings.harvest.allowed_origins, *(issuer.issuer for issuer in settings.auth.issuers)]
    urls += [each.storage.endpoint for each in settings.harvest.buckets]
    urls += [each.storage.endpoint for each in settings.contributed.trees]
    urls += [each.url for each in settings.harvest.hook.outputs]
    for source in settings.harvest.hook.sources:
        urls += [source.url, *source.token_urls, *source.downloads]
    for site in settings.sites:
        urls += [site.catalogue.url] if site.catalogue.url else []
        urls += [*site.catalogue.mirrors, *site.asset_origins]
        urls += [part.url for part in (site.dask, site.kernels) if part is not None]
        urls += [site.storage.endpoint] if site.storage is not None else []
    return urls
