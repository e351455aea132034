"""What carries harvests far from the gateway, and the keys that it is given."""

from gateway.house.house import House
from gateway.house.kubernetes_jobs import kubernetes_executor
from gateway.settings import Settings
from harvest.desk_wire import Bucket
from harvest.executors.choice import Choice
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
    return Elsewhere(
        executors=executors,
        choice=Choice(settings=settings, available=available),
        tokens=RunTokens(house.key),
        url=settings.url or house.base,
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
    )
