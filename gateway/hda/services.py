"""What the gateway offers beside the data, as the catalogue of services tells it. Pure."""

from collections.abc import Iterable, Mapping

from edges.errors import NotFound
from edges.model import Json
from edges.stac.free_text import compile_text, folded
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, link, url_of
from gateway.settings import HdaService


def offered(base: str, *, edges: Iterable[str], kernels: Iterable[str]) -> list[HdaService]:
    """Return what this gateway offers by itself; ``edges`` have Dask gateways, ``kernels`` notebook kernels."""
    told = [
        HdaService(
            id="dedl-hda",
            title="Harmonised Data Access",
            description="One catalogue over many data lakes: search, order and download.",
            describes=(url_of(base, "stac", "v2"),),
            describedby=(url_of(base, "api.html"),),
        ),
        HdaService(
            id="dedl-hook",
            title="Harvests on demand",
            description="Orders that bring data to an edge or to a bucket of your own, as OGC API Processes.",
            describes=(url_of(base, "processes"),),
        ),
    ]
    places = sorted({*edges})
    if places:
        told.append(
            HdaService(
                id="dedl-stack-dask",
                title="Dask clusters",
                description=f"Dask Gateway beside the data, at {', '.join(places)}.",
                describes=(url_of(base, "bridges.json"),),
            )
        )
    rooms = sorted({*kernels})
    if rooms:
        told.append(
            HdaService(
                id="dedl-stack-jupyter",
                title="Notebook kernels",
                description=f"Jupyter kernels beside the data, at {', '.join(rooms)}.",
                describes=(url_of(base, "api", "kernelspecs"),),
            )
        )
    return told


def services_page(services: Iterable[HdaService], base: str, text: str = "") -> Json:
    """Return the services in whose words the text is found, on one page.

    Raises:
        InvalidInput: the text cannot be read.
    """
    holds = compile_text((text,)) if text.strip() else None
    found = [service_document(each, base) for each in services if holds is None or holds(_words(each))]
    own = url_of(base, "services")
    return {
        "type": "FeatureCollection",
        "features": found,
        "links": [link("self", own, GEOJSON_TYPE), link("root", url_of(base), JSON_TYPE)],
        "numberMatched": len(found),
        "numberReturned": len(found),
    }


def service_named(services: Mapping[str, HdaService], name: str, base: str) -> Json:
    """Return one service.

    Raises:
        NotFound: there is none of this name.
    """
    if name not in services:
        raise NotFound(f"Service {name} does not exist.")
    return service_document(services[name], base)


def _words(service: HdaService) -> str:
    return folded((service.id, service.title, service.description))


def service_document(service: HdaService, base: str) -> Json:
    """Return a service as a feature without a place."""
    above = url_of(base, "services")
    thumbnail = {"thumbnail": {"href": service.thumbnail, "title": service.title}} if service.thumbnail else {}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": service.id,
        "geometry": None,
        "properties": {"title": service.title or service.id, "description": service.description},
        "assets": thumbnail,
        "links": [
            link("collection", above),
            link("parent", above),
            link("root", url_of(base)),
            link("self", url_of(above, service.id), GEOJSON_TYPE),
            *({"rel": "describes", "href": href, "title": f"Explore {service.title}"} for href in service.describes),
            *({"rel": "describedby", "href": href, "title": f"About {service.title}"} for href in service.describedby),
        ],
    }
