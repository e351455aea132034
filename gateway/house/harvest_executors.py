"""What carries harvests far from the gateway, and the keys that it is given."""

from collections.abc import Mapping
from functools import partial

from edges.compute.dask_gateway import DaskGateway
from edges.compute.dask_scheduler import SchedulerComm
from edges.compute.model import ClusterReport
from gateway.house.adapters import dask_of
from gateway.house.house import House
from gateway.house.kubernetes_jobs import kubernetes_executor
from gateway.settings import Settings
from harvest.bucket_keys import Bucket
from harvest.executors.choice import Choice
from harvest.executors.dask import DaskExecutor
from harvest.executors.seams import Executor
from harvest.places import PRIVATE
from harvest.runs import Elsewhere, RunTokens


async def elsewhere_of(house: House) -> Elsewhere:
    """Return the executors that are configured."""
    settings = house.settings.harvest.executors
    targets = [site.id for site in house.settings.sites if site.storage is not None]
    executors: dict[str, Executor] = {}
    available: dict[str, tuple[str, ...]] = {}
    if settings.kubernetes is not None:
        jobs = settings.kubernetes
        executors["kubernetes"] = await house.stack.enter_async_context(kubernetes_executor(jobs))
        available["kubernetes"] = tuple(site for site in targets if not jobs.targets or site in jobs.targets)
    dask = {site.id: dask_of(site, house.compute.session) for site in house.settings.sites if site.dask}
    near = {site: gateway for site, gateway in dask.items() if site in targets}
    if near:
        executors["dask"] = DaskExecutor(clusters=near, workers=partial(_workers, near))
        available["dask"] = tuple(near)
    return Elsewhere(
        executors=executors,
        choice=Choice(settings=settings, available=available),
        tokens=RunTokens(house.key),
        url=settings.url or house.base,
    )


def _workers(gateways: Mapping[str, DaskGateway], edge: str, report: ClusterReport) -> SchedulerComm:
    return SchedulerComm(
        edge=edge,
        address=gateways[edge].comm_address,
        cluster=report.name,
        certificate=report.tls_cert or "",
        key=report.tls_key or "",
    )


def bucket_of(settings: Settings, site_id: str) -> Bucket | None:
    """Return a site's bucket with the keys to it, for workers far away; None where there is none to be told."""
    stores = {site.id: site.storage for site in settings.sites}
    stores |= {PRIVATE + each.name: each.storage for each in settings.harvest.buckets}
    storage = stores.get(site_id)
    if storage is None:
        return None
    return Bucket(
        bucket=storage.bucket,
        endpoint=storage.endpoint,
        region=storage.region,
        access_key=storage.access_key.reveal(),
        secret_key=storage.secret_key.reveal(),
        connections=storage.connections,
    )
