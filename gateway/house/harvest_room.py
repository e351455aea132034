"""The room of harvests."""

from edges.registry import Site
from edges.storage.s3 import S3Store
from gateway.house.house import House
from gateway.placement.buckets import SiteBucket
from gateway.processes.face import ProcessesFace
from gateway.search.harvest_sources import FederatedSources
from harvest.harvester import Harvester
from harvest.seams import Place, World


async def add_harvests(house: House) -> None:
    """Add the harvester and its OGC API Processes face."""
    sources = FederatedSources(federation=house.federation, registry=house.registry, base=house.base)
    places = {site.id: await _place(house, site) for site in house.registry.sites() if site.settings.storage}
    world = World(
        search=sources,
        describe=sources.describe,
        places=places,
        ledger=house.ledger,
        session=house.outbound.session,
        check=house.outbound.check,
    )
    harvester = Harvester(
        path=house.state / "harvest.sqlite",
        settings=house.settings.harvest,
        world=world,
        lease_seconds=house.settings.quotas.lease_seconds,
    )
    await house.stack.enter_async_context(harvester)
    house.routes += ProcessesFace(harvester=harvester, base=house.base).routes()


async def _place(house: House, site: Site) -> Place:
    storage = site.settings.storage
    if storage is None:
        raise ValueError(f"{site.id} has no storage")
    store = S3Store(site=site.id, settings=storage, session=house.outbound.session)
    house.buckets.add(SiteBucket(site=site.id, bucket=storage.bucket, store=store))
    writable = site.settings.catalogue.write_token is not None
    return Place(
        site=site.id,
        store=await house.stack.enter_async_context(store),
        bucket=storage.bucket,
        endpoint=storage.endpoint,
        region=storage.region,
        catalogue=site.catalogue if writable else None,
    )
