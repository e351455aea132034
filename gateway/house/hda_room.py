"""The room of Harmonised Data Access: its face, and the orders that are given at it."""

from edges.stac.links import url_of
from gateway.hda.catalogue_face import ROOTS, CatalogueFace
from gateway.hda.collections import HdaCollections, naming_of
from gateway.hda.errors import hda_words
from gateway.hda.search_face import SearchFace
from gateway.hda.services import offered
from gateway.house.house import House
from gateway.settings import HdaService


async def add_hda(house: House) -> None:
    """Add the face of HDA."""
    base = url_of(house.base, *ROOTS[0].strip("/").split("/"))
    naming = naming_of([site.id for site in house.settings.sites], house.settings.hda.backends)
    orders: frozenset[str] = frozenset()
    collections = HdaCollections(registry=house.registry, base=base, naming=naming, orders=orders)
    house.gatekeepers.append(hda_words(house.charging, (*ROOTS, "/services")))
    house.routes += [
        *CatalogueFace(
            collections=collections, naming=naming, services=_services(house), root=house.base, base=base
        ).routes(),
        *SearchFace(
            federation=house.federation,
            registry=house.registry,
            charging=house.charging,
            limits=house.settings.limits,
            settings=house.settings.hda,
            collections=collections,
            naming=naming,
            orders=orders,
            root=house.base,
            base=base,
        ).routes(),
    ]


def _services(house: House) -> list[HdaService]:
    own = offered(
        house.base,
        edges=[site.id for site in house.settings.sites if site.dask is not None],
        kernels=[site.id for site in house.settings.sites if site.kernels is not None],
    )
    told = {each.id: each for each in house.settings.hda.services}
    return [*(told.pop(each.id, each) for each in own), *told.values()]
