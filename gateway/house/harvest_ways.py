"""How harvests ask sites that want credentials for their data, or are behind a tunnel: as downloads do."""

from collections.abc import Mapping, Sequence

from edges.downloads.detour_way import DetourWay
from edges.downloads.eodag_way import EodagWay
from edges.downloads.http_way import HttpWay
from edges.downloads.ways import Call, Way
from edges.errors import NotFound
from edges.settings import SiteSettings
from gateway.house.house import House
from harvest.politeness import origin_of


def ways_of(house: House) -> Mapping[str, Way]:
    """Return the ways of all sites that want credentials or are behind a tunnel; of none whose data is not given out.

    Where users keep the items (contributed collections), addresses are anybody's word: no credentials go there.
    """
    found: dict[str, Way] = {}
    for site in house.registry.sites():
        if site.settings.downloads.give == "refuse" or site.id == house.settings.contributed.site:
            continue
        way = _through_tunnel(site.settings, _way_of(house, site.settings))
        if way is not None:
            found[site.id] = way
    return found


def origins_of(house: House) -> Mapping[str, str]:
    """Return whose an address is, by its origin, for those that one site alone has."""
    found: dict[str, set[str]] = {}
    for site in house.registry.sites():
        settings = site.settings
        urls = [settings.catalogue.url, *settings.catalogue.mirrors, *settings.asset_origins]
        urls += [settings.storage.endpoint] if settings.storage is not None else []
        urls += settings.downloads.credentials.origins if settings.downloads.credentials is not None else ()
        urls += settings.tunnel.addresses.values() if settings.tunnel is not None else ()
        for url in filter(None, urls):
            found.setdefault(origin_of(url), set()).add(site.id)
    return {origin: next(iter(sites)) for origin, sites in found.items() if origin and len(sites) == 1}


def _way_of(house: House, site: SiteSettings) -> Way | None:
    catalogue, credentials = site.catalogue, site.downloads.credentials
    if credentials is not None:
        origins = [url for url in (catalogue.url, *credentials.origins) if url]
        return HttpWay(credentials, origins=origins)
    if catalogue.eodag is None:
        return None
    return EodagWay(
        site=site.id,
        settings=catalogue.eodag,
        folder=house.state / "eodag" / f"{site.id}-harvests",
        timeout_seconds=catalogue.timeout_seconds,
    )


def _through_tunnel(site: SiteSettings, way: Way | None) -> Way | None:
    """Return how a site is asked, with the addresses that its items name and that only its tunnel leads to."""
    if site.tunnel is None or not site.tunnel.addresses:
        return way
    detour = DetourWay(site.tunnel.detours, (way or HttpWay(),))
    return detour if way is None else _FirstWay((detour, way))


class _FirstWay:
    """Implements :class:`edges.downloads.ways.Way` by the first of several that takes an address."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways

    def takes(self, href: str) -> bool:
        return any(way.takes(href) for way in self._ways)

    async def call(self, method: str, href: str) -> Call:
        way = next((way for way in self._ways if way.takes(href)), None)
        if way is None:
            raise NotFound("the asset's address leads nowhere")
        return await way.call(method, href)
