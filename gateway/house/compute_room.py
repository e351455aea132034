"""The rooms of Dask clusters and notebook kernels."""

from edges.model import ClusterCap
from gateway.dask.clusters import Clusters
from gateway.dask.dashboards import Dashboards
from gateway.dask.face import DaskFace
from gateway.dask.model import ClusterRoute, Terms
from gateway.house.adapters import dask_of, kernels_of
from gateway.house.house import House
from gateway.kernels.credentials import IssuedKernelTokens
from gateway.kernels.face import KernelFace
from gateway.kernels.kernels import Kernels
from gateway.kernels.model import KernelRecord
from gateway.kernels.starting import KernelTerms
from gateway.quota.core_hours import CoreHours
from gateway.records import RecordTable


async def add_clusters(house: House) -> Clusters:
    """Add the Dask Gateway face; the listener routes comms by what it returns."""
    compute = house.settings.compute
    cap = ClusterCap(cores=compute.cluster_cores, memory=compute.cluster_memory)
    routes = await house.stack.enter_async_context(RecordTable(house.state / "clusters.sqlite", ClusterRoute))
    clusters = Clusters(
        backends={site.id: dask_of(site, house.compute.session) for site in house.settings.sites if site.dask},
        routes=routes,
        ledger=house.ledger,
        placer=house.placer,
        terms=Terms(cap=cap, lease_seconds=house.settings.quotas.lease_seconds),
    )
    await house.stack.enter_async_context(clusters.running(reconcile_seconds=compute.reconcile_seconds))
    await house.stack.enter_async_context(CoreHours(house.ledger).running())
    dashboards = Dashboards(clusters=clusters, doorman=house.doorman, proxy=house.proxy(), origins=[house.base])
    house.routes += [*DaskFace(clusters=clusters, doorman=house.doorman).routes(), *dashboards.routes()]
    return clusters


async def add_kernels(house: House) -> None:
    """Add the Jupyter face."""
    records = await house.stack.enter_async_context(RecordTable(house.state / "kernels.sqlite", KernelRecord))
    kernels = Kernels(
        backends={site.id: kernels_of(site, house.compute.session) for site in house.settings.sites if site.kernels},
        records=records,
        ledger=house.ledger,
        placer=house.placer,
        terms=KernelTerms(gateway_url=house.base, lease_seconds=house.settings.quotas.lease_seconds),
        credentials=IssuedKernelTokens(authenticator=house.authenticator),
    )
    seconds = house.settings.compute.reconcile_seconds
    await house.stack.enter_async_context(kernels.running(reconcile_seconds=seconds))
    house.routes += KernelFace(kernels=kernels, proxy=house.proxy(), origins=[house.base]).routes()
