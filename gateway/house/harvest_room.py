"""The room of harvests."""

from functools import partial
from pathlib import Path

from edges.http import Outbound
from edges.lines.lines import Lines
from edges.registry import Site
from edges.storage.s3 import S3Store
from gateway.harvests.face import HarvestsFace
from gateway.harvests.metrics import HarvestMetrics
from gateway.harvests.workers_face import WorkersFace
from gateway.house.adapters import allowed_origins, harvests_of
from gateway.house.harvest_executors import bucket_of, elsewhere_of
from gateway.house.harvest_ways import origins_of, ways_of
from gateway.house.hook_room import add_hook, open_hook_books
from gateway.house.house import House
from gateway.placement.buckets import SiteBucket
from gateway.processes.documents import callback_document
from gateway.processes.face import ProcessesFace
from gateway.search.harvest_sources import FederatedSources
from harvest.files import Folder
from harvest.harvester import Harvester
from harvest.places import PRIVATE
from harvest.seams import Beside, Place, Webhooks, World, unrecorded
from harvest.settings import PrivateBucket


async def add_harvests(house: House) -> None:
    """Add the harvester and its OGC API Processes face."""
    sources = FederatedSources(federation=house.federation, registry=house.registry, base=house.base)
    places = {site.id: await _place(house, site) for site in house.registry.sites() if site.settings.storage}
    places |= {PRIVATE + each.name: await _private(house, each) for each in house.settings.harvest.buckets}
    books = await open_hook_books(house, places)
    world = World(
        search=books.externals.searching(sources),
        describe=sources.describe,
        places=books.buckets,
        ledger=house.ledger,
        session=house.outbound.session,
        lines=await _lines(house),
        check=house.outbound.check,
        webhooks=Webhooks(
            source=house.base,
            keys={name: key.reveal().encode() for name, key in house.settings.harvest.webhook_keys.items()},
            callbacks=partial(callback_document, base=house.base),
        ),
        authorize=books.externals.authorize,
        politeness={site.id: site.settings.politeness for site in house.registry.sites()},
        origins=origins_of(house),
        ways=ways_of(house),
        folders={
            site.id: Folder(Path(site.settings.folder)) for site in house.registry.sites() if site.settings.folder
        },
        recorded=house.spans.beginning if house.spans else unrecorded,
        beside=Beside(buckets=partial(bucket_of, house.settings), allowed=tuple(allowed_origins(house.settings))),
    )
    harvester = Harvester(
        database=harvests_of(house.settings),
        settings=house.settings.harvest,
        world=world,
        lease_seconds=house.settings.quotas.lease_seconds,
        elsewhere=await elsewhere_of(house),
    )
    await house.stack.enter_async_context(harvester)
    await house.stack.enter_async_context(HarvestMetrics(house.metrics, harvester=harvester).running())
    hosts = house.settings.harvest.callback_hosts
    house.routes += ProcessesFace(harvester=harvester, base=house.base, callback_hosts=hosts).routes()
    counter = harvester.counter(buckets=partial(bucket_of, house.settings), allowed=allowed_origins(house.settings))
    house.routes += WorkersFace(counter).routes()
    house.routes += HarvestsFace(harvester=harvester, base=house.base, callback_hosts=hosts).routes()
    await add_hook(house, books, harvester)


async def _lines(house: House) -> Lines:
    """Return the lines to sources; those that lead into tunnels are asked on the way of their site alone."""
    tunnels = [site.tunnel for site in house.settings.sites if site.tunnel is not None and site.tunnel.addresses]
    if not tunnels:
        return house.outbound.lines
    ends = [end for tunnel in tunnels for end in tunnel.detours.values()]
    outbound = Outbound(allowed=[*allowed_origins(house.settings), *ends])
    return (await house.stack.enter_async_context(outbound)).lines


async def _place(house: House, site: Site) -> Place:
    storage = site.settings.storage
    if storage is None:
        raise ValueError(f"{site.id} has no storage")
    store = S3Store(site=site.id, settings=storage, lines=house.outbound.lines)
    house.buckets.add(SiteBucket(site=site.id, bucket=storage.bucket, store=store))
    writable = site.settings.catalogue.write_token is not None
    return Place(
        site=site.id,
        store=await house.stack.enter_async_context(store),
        bucket=storage.bucket,
        endpoint=storage.endpoint,
        region=storage.region,
        catalogue=site.catalogue if writable else None,
        labels=site.settings.labels,
    )


async def _private(house: House, bucket: PrivateBucket) -> Place:
    name = PRIVATE + bucket.name
    store = S3Store(site=name, settings=bucket.storage, lines=house.outbound.lines)
    return Place(
        site=name,
        store=await house.stack.enter_async_context(store),
        bucket=bucket.storage.bucket,
        endpoint=bucket.storage.endpoint,
        region=bucket.storage.region,
        owner=bucket.group,
    )
