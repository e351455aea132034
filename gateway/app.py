"""The composition root: builds everything, owns every lifetime. Nobody else constructs.

Lifetimes are entered in order and left in reverse: the listener closes first, the ledger and the stores last.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from isal import isal_zlib
from prometheus_client import CollectorRegistry

from edges.catalogues.renamed import RenamedCatalogue
from edges.catalogues.stac_api import StacApiCatalogue
from edges.compute.dask_gateway import DaskGateway
from edges.compute.jupyter import JupyterGateway
from edges.http import Outbound
from edges.model import ClusterCap
from edges.registry import Registry, Site
from edges.seams import WritableCatalogue
from edges.settings import SiteSettings
from edges.storage.s3 import S3Store
from gateway.auth import AuthFace, SessionCookies, TokenAuthenticator, auth_middleware
from gateway.compression import compression_middleware
from gateway.dask.clusters import Clusters
from gateway.dask.dashboards import Dashboards
from gateway.dask.face import DaskFace
from gateway.dask.model import ClusterRoute, Terms
from gateway.dask.session import Doorman
from gateway.kernel_logins import IssuedKernelLogins
from gateway.kernels.face import KernelFace
from gateway.kernels.kernels import Kernels
from gateway.kernels.model import KernelRecord
from gateway.kernels.starting import KernelTerms
from gateway.listener import Listener
from gateway.middleware import RequestMetrics, cors_middleware, problems_middleware
from gateway.placement.face import PlacementFace
from gateway.placement.placer import FederatedPlacer
from gateway.processes.face import ProcessesFace
from gateway.proxying import EdgeProxy, ProxyLimits
from gateway.quota.charging import Charging
from gateway.quota.face import QuotaFace
from gateway.records import RecordTable
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.search.harvest_sources import FederatedSources
from gateway.secrets import kept_key
from gateway.settings import Settings
from gateway.sites import SitesFace
from gateway.stac.face import StacFace
from harvest.harvester import Harvester
from harvest.seams import Place
from quotas.ledger import Ledger
from quotas.sqlite import SqliteLedger


class Foundations:
    """What the faces stand on: outbound calls, sites, ledger, search, identity."""

    def __init__(self, settings: Settings, *, base: str, session: aiohttp.ClientSession, outbound: Outbound) -> None:
        state = Path(settings.server.state)
        key = settings.auth.signing_key.reveal().encode() if settings.auth.signing_key else kept_key(state / "signing.key")
        self.base = base
        self.state = state
        self.session = session
        self.outbound = outbound
        self.metrics = CollectorRegistry()
        self.registry = Registry(
            [Site(site, _catalogue(site, session)) for site in settings.sites], probe_seconds=settings.limits.probe_seconds
        )
        self.ledger: Ledger = SqliteLedger(state / "quotas.sqlite", settings.quotas.policies)
        self.authenticator = TokenAuthenticator(settings.auth, state=state)
        self.cookies = SessionCookies(key, secure=base.startswith("https://"))
        self.federation = Federation(
            registry=self.registry,
            cursors=Cursors(key=key, lifetime_seconds=settings.limits.cursor_seconds),
            deadline_seconds=settings.limits.deadline_seconds,
        )
        self.placer = FederatedPlacer(federation=self.federation, registry=self.registry, ledger=self.ledger)
