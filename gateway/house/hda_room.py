"""The room of Harmonised Data Access: its face, and the orders that are given at it."""

import uuid
from collections.abc import Mapping
from functools import partial

from edges.downloads.s3_way import S3Way
from edges.http import Outbound
from edges.narrowing import Narrowing, StacNarrowing
from edges.ordering.eodag_orders import EodagOrders
from edges.ordering.model import Ordering
from edges.ordering.s3_restores import S3Restores
from edges.ordering.stac_orders import StacOrders
from edges.profiles.load import profile_of
from edges.profiles.queries import CollectionIds, QueryWords
from edges.settings import SiteSettings
from edges.stac.links import url_of
from gateway.hda.catalogue_face import ROOTS, CatalogueFace
from gateway.hda.collections import HdaCollections, Naming, naming_of
from gateway.hda.errors import hda_words
from gateway.hda.legacy_face import LegacyFace
from gateway.hda.order_face import OrderFace, StagedItems
from gateway.hda.order_items import order_item
from gateway.hda.queryables_face import QueryablesFace
from gateway.hda.requests import Terms
from gateway.hda.search_face import SearchFace
from gateway.hda.services import offered
from gateway.hda.world import HdaWorld, view_of_everybody
from gateway.house.adapters import records_of
from gateway.house.house import House
from gateway.order_metrics import DataOrderMetrics
from gateway.orders.letters import Letters
from gateway.orders.model import Letter, Order, Staging
from gateway.orders.orders import Orders, Provider
from gateway.orders.polling import Polling
from gateway.quota.charging import Patient
from gateway.settings import HdaService


async def add_hda(house: House) -> StagedItems:
    """Add the face of HDA, and orders; return what was staged, for downloads."""
    base = url_of(house.base, *ROOTS[0].strip("/").split("/"))
    naming = naming_of([site.id for site in house.settings.sites], house.settings.hda.backends)
    eodag = _eodag_of(house)
    orders = await _orders(house, {**_stac_of(house), **eodag, **await _restores_of(house)})
    collections = HdaCollections(
        registry=house.registry, access=house.access, base=base, naming=naming, orders=orders.sites
    )
    world = HdaWorld(
        charging=Patient(house.charging, seconds=house.settings.hda.absorb_seconds),
        collections=collections,
        naming=naming,
        view=view_of_everybody(base, house.base, naming=naming, collections=collections, orders=orders.sites),
    )
    order_face = await _order_face(house, orders, world)
    catalogue = CatalogueFace(
        collections=collections, naming=naming, services=_services(house), root=house.base, base=base
    )
    search = SearchFace(
        federation=house.federation,
        registry=house.registry,
        terms=_terms(house, naming),
        order_item=order_face.item,
        world=world,
    )
    queryables = QueryablesFace(
        federation=house.federation,
        collections=collections,
        naming=naming,
        narrowings=_narrowings(house, eodag),
        base=base,
    )
    legacy = LegacyFace(search=search, orders=order_face, base=house.base)
    house.gatekeepers.append(hda_words(house.charging, (*ROOTS, "/services")))
    house.routes += [
        *catalogue.routes(),
        *search.routes(),
        *order_face.routes(),
        *queryables.routes(),
        *legacy.routes(),
    ]
    return StagedItems(orders)


async def _orders(house: House, providers: Mapping[str, Ordering]) -> Orders:
    orders = await house.stack.enter_async_context(records_of(house.settings, "orders", Order))
    stagings = await house.stack.enter_async_context(records_of(house.settings, "stagings", Staging))
    settings = {site.id: site.orders for site in house.settings.sites if site.orders is not None}
    DataOrderMetrics(house.metrics, sites=settings, stagings=stagings)
    return Orders(
        orders=orders,
        stagings=stagings,
        providers={name: Provider(ordering=each, settings=settings[name]) for name, each in providers.items()},
        holder=uuid.uuid4().hex,
    )


def _narrowings(house: House, eodag: Mapping[str, EodagOrders]) -> Mapping[str, Narrowing]:
    stac = {
        site.id: StacNarrowing(
            site=site.id,
            catalogue=site.catalogue,
            session=house.outbound.session,
            native=_ids_of(site).native,
            observer=house.watched,
        )
        for site in house.settings.sites
        if site.catalogue.url
    }
    return {**stac, **eodag}


def _eodag_of(house: House) -> Mapping[str, EodagOrders]:
    """Return the providers of EODAG that take orders; they tell of their queryables, too."""
    return {
        site.id: EodagOrders(
            site=site.id,
            eodag=site.catalogue.eodag,
            settings=site.orders,
            folder=house.state / "eodag-orders" / site.id,
            native=_ids_of(site).native,
        )
        for site in house.settings.sites
        if site.catalogue.eodag is not None and site.orders is not None
    }


def _stac_of(house: House) -> Mapping[str, StacOrders]:
    return {
        site.id: StacOrders(
            site=site.id,
            catalogue=site.catalogue,
            settings=site.orders,
            session=house.outbound.session,
            native=_ids_of(site).native,
            observer=house.watched,
        )
        for site in house.settings.sites
        if site.catalogue.url and site.orders is not None
    }


async def _restores_of(house: House) -> Mapping[str, S3Restores]:
    """Return the sites whose own store restores what is on tape."""
    found = {}
    for site in house.registry.sites():
        settings, storage = site.settings.orders, site.settings.storage
        if settings is None or settings.restore is None or storage is None:
            continue
        outbound = await house.stack.enter_async_context(Outbound(allowed=[storage.endpoint]))
        found[site.id] = S3Restores(
            site=site.id,
            settings=settings,
            storage=storage,
            s3=S3Way(storage, buckets=site.settings.downloads.buckets),
            session=outbound.session,
            item=site.catalogue.item,
        )
    return found


def _ids_of(site: SiteSettings) -> CollectionIds:
    return QueryWords(profile_of(site.catalogue)).ids


def _terms(house: House, naming: Naming) -> Terms:
    limits = house.settings.limits
    return Terms(
        default_limit=limits.default_page_items,
        max_limit=limits.page_items,
        default_dedup=limits.default_dedup,
        compatible=house.settings.hda.compatible,
        sites=naming.sites,
    )


async def _order_face(house: House, orders: Orders, world: HdaWorld) -> OrderFace:
    harvest = house.settings.harvest
    letters = Letters(
        table=await house.stack.enter_async_context(records_of(house.settings, "order_letters", Letter)),
        session=house.outbound.session,
        check=house.outbound.check,
        keys={name: key.reveal().encode() for name, key in harvest.webhook_keys.items()},
        source=world.view.base,
    )
    polling = Polling(orders=orders, letters=letters, tell=partial(order_item, view=world.view))
    await house.stack.enter_async_context(polling.running())
    return OrderFace(
        orders=orders,
        polling=polling,
        access=house.access,
        callback_hosts=harvest.callback_hosts,
        world=world,
    )


def _services(house: House) -> list[HdaService]:
    own = offered(
        house.base,
        edges=[site.id for site in house.settings.sites if site.dask is not None],
        kernels=[site.id for site in house.settings.sites if site.kernels is not None],
    )
    told = {each.id: each for each in house.settings.hda.services}
    return [*(told.pop(each.id, each) for each in own), *told.values()]
