"""The rooms of Dask clusters and notebook kernels."""

import hmac

from edges.model import ClusterCap
from gateway.auth import SessionCookies
from gateway.compute_metrics import ClusterMetrics, KernelMetrics
from gateway.dask.bridges import Bridge, Bridges
from gateway.dask.clusters import Clusters
from gateway.dask.dashboards import DashboardHost, Dashboards
from gateway.dask.face import DaskFace
from gateway.dask.model import ClusterRoute, Room, Terms
from gateway.house.adapters import dask_of, kernels_of, records_of
from gateway.house.house import House
from gateway.kernels.credentials import IssuedKernelTokens
from gateway.kernels.face import KernelFace
from gateway.kernels.kernels import Kernels
from gateway.kernels.model import KernelRecord
from gateway.kernels.starting import KernelTerms
from gateway.quota.core_hours import CoreHours


async def add_clusters(house: House) -> Clusters:
    """Add the Dask Gateway face; the listener routes comms by what it returns."""
    compute = house.settings.compute
    cap = ClusterCap(cores=compute.cluster_cores, memory=compute.cluster_memory)
    routes = await house.stack.enter_async_context(records_of(house.settings, "clusters", ClusterRoute))
    dask = [site.id for site in house.settings.sites if site.dask]
    ClusterMetrics(house.metrics, edges=dask, routes=routes)
    clusters = Clusters(
        backends={site.id: dask_of(site, house.compute.session) for site in house.settings.sites if site.dask},
        routes=routes,
        ledger=house.ledger,
        placer=house.placer,
        terms=Terms(
            cap=cap,
            lease_seconds=house.settings.quotas.lease_seconds,
            queue_seconds=compute.queue_seconds,
            rooms={
                site.id: Room(cores=site.dask.cores, memory=site.dask.memory, gpus=float(site.dask.gpus))
                for site in house.settings.sites
                if site.dask
            },
        ),
    )
    house.placer.watch(clusters.view)
    await house.stack.enter_async_context(clusters.running(reconcile_seconds=compute.reconcile_seconds))
    await house.stack.enter_async_context(CoreHours(house.ledger).running())
    host = _dashboard_host(house)
    dashboards = Dashboards(
        clusters=clusters, doorman=house.doorman, proxy=house.proxy(), origins=[house.base], host=host
    )
    face = DaskFace(clusters=clusters, doorman=house.doorman)
    house.routes += [*face.routes(), *dashboards.routes(), *_bridges(house).routes()]
    return clusters


def _dashboard_host(house: House) -> DashboardHost | None:
    url = house.settings.compute.dashboard_url
    if not url:
        return None
    key = hmac.digest(house.key, b"dashboards", "sha256")
    host = DashboardHost(url=url, signer=SessionCookies(key, secure=url.startswith("https://")))
    house.gatekeepers.append(host.middleware())
    return host


def _bridges(house: House) -> Bridges:
    most = max(1, int(house.settings.compute.cluster_cores) - 1)  # the scheduler is counted
    bridges = {
        site.id: Bridge(edge=site.id, title=site.title, most_workers=most)
        for site in house.settings.sites
        if site.dask is not None
    }
    return Bridges(bridges=bridges, base=house.base)


async def add_kernels(house: House) -> None:
    """Add the Jupyter face."""
    records = await house.stack.enter_async_context(records_of(house.settings, "kernels", KernelRecord))
    edges = [site.id for site in house.settings.sites if site.kernels]
    KernelMetrics(house.metrics, edges=edges, records=records)
    kernels = Kernels(
        backends={site.id: kernels_of(site, house.compute.session) for site in house.settings.sites if site.kernels},
        records=records,
        ledger=house.ledger,
        placer=house.placer,
        terms=KernelTerms(
            gateway_url=house.base,
            lease_seconds=house.settings.quotas.lease_seconds,
            dask_proxies={site.id: site.kernels.dask_proxy for site in house.settings.sites if site.kernels},
        ),
        credentials=IssuedKernelTokens(authenticator=house.authenticator),
    )
    seconds = house.settings.compute.reconcile_seconds
    await house.stack.enter_async_context(kernels.running(reconcile_seconds=seconds))
    house.routes += KernelFace(kernels=kernels, proxy=house.proxy(), origins=[house.base]).routes()
