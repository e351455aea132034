"""The room of downloads."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edges.downloads.detour_way import DetourWay
from edges.downloads.eodag_way import EodagWay
from edges.downloads.http_way import HttpWay
from edges.downloads.opening import Patience, SiteData
from edges.downloads.s3_way import S3Way
from edges.downloads.sts import Role, SecurityTokens
from edges.downloads.ways import Way
from edges.http import Outbound
from edges.settings import DownloadSettings, SiteSettings
from gateway.data.collection_items import CollectionItems
from gateway.data.direct_face import DirectFace, DirectSite
from gateway.data.egress import Egress
from gateway.data.face import DownloadFace
from gateway.data.finding import Finder, Keep, OtherItems
from gateway.data.grants import Grants
from gateway.data.limits import InFlight
from gateway.data.means import Means
from gateway.data.metrics import DownloadMetrics
from gateway.data.sites import DataSite, DataSites, KeyedData
from gateway.house.house import House
from gateway.quota.charging import Patient
from gateway.settings import TreeSettings


async def add_data(house: House, *, others: Sequence[OtherItems] = (), keyed: KeyedData | None = None) -> None:
    """Add downloads; ``others`` have items that no search finds, ``keyed`` are users' data that keys of ours open."""
    settings = house.settings
    told = [site.settings for site in house.registry.sites()]  # with the one that keeps users' collections
    sites = {site.id: await _data_site(house, site) for site in told}
    in_flight = InFlight(sites={site.id: site.downloads.in_flight for site in told}, per_user=settings.data.per_user)
    charging = Patient(house.charging, seconds=settings.hda.absorb_seconds)  # the same programs come here, too
    egress = Egress(ledger=house.ledger, charging=charging, lease_seconds=settings.quotas.lease_seconds)
    await house.stack.enter_async_context(egress.running())
    grants = Grants(
        egress=egress, counted={name: each.data for name, each in sites.items() if each.settings.count_granted}
    )
    finder = Finder(
        federation=house.federation,
        access=house.access,
        bases=_bases(told),
        others=others,
        keep=Keep(items=settings.data.items, seconds=settings.data.item_seconds),
    )
    metrics = DownloadMetrics(house.metrics, sites=sites, in_flight=in_flight.at)
    means = Means(finder=finder, egress=egress, grants=grants, metrics=metrics)
    face = DownloadFace(
        means=means,
        sites=DataSites(
            sites,
            home=settings.contributed.site,
            keyed=keyed,
            trees={tree.name: await _tree_site(house, tree) for tree in settings.contributed.trees if tree.data},
        ),
        in_flight=in_flight,
        settings=settings.data,
    )
    direct = DirectFace(
        means=means,
        sites={site.id: _direct_site(site, sites[site.id]) for site in told if site.downloads.direct},
        items_of=CollectionItems(house.federation),
        most=settings.data.signed_urls,
    )
    house.routes += [*face.routes(), *direct.routes()]


async def _data_site(house: House, site: SiteSettings) -> DataSite:
    """Return a site with connections of its own: what it is slow at must not hold up searches, or other sites."""
    # Users write addresses as they like: with its own the gateway would read to them what others keep there.
    foreign = site.id == house.settings.contributed.site
    outbound = await house.stack.enter_async_context(Outbound(allowed=[] if foreign else _own_origins(site)))
    downloads, storage = site.downloads, site.storage
    s3 = None
    if storage is not None:
        s3 = S3Way(storage, buckets=downloads.buckets, public_endpoint=downloads.public_endpoint)
    credentials = None if foreign else downloads.credentials
    http = HttpWay(credentials, origins=_credential_origins(site) if credentials is not None else ())
    eodag = _eodag_way(site, house.state)
    ways: tuple[Way, ...] = tuple(way for way in (s3, eodag or http) if way is not None)
    if site.tunnel is not None and site.tunnel.addresses:
        ways = (DetourWay(site.tunnel.detours, ways), *ways)
    stall = house.settings.data.stall_seconds
    return DataSite(
        id=site.id,
        settings=downloads,
        data=SiteData(
            site=site.id,
            session=outbound.session,
            check=outbound.check,
            ways=ways,
            patience=Patience(stall_seconds=stall),
        ),
        session=outbound.session,
        s3=s3,
        is_open=_never if eodag is not None or site.tunnel is not None else http.is_open,
        check_public=Outbound(allowed=()).check,
    )


async def _tree_site(house: House, tree: TreeSettings) -> DataSite:
    """Return where a tree's data is, as a part of the site that keeps users' collections."""
    outbound = await house.stack.enter_async_context(Outbound(allowed=[tree.storage.endpoint]))
    s3 = S3Way(tree.storage)
    return DataSite(
        id=house.settings.contributed.site,
        settings=DownloadSettings(),
        data=SiteData(
            site=tree.name,
            session=outbound.session,
            check=outbound.check,
            ways=(s3,),
            patience=Patience(stall_seconds=house.settings.data.stall_seconds),
        ),
        session=outbound.session,
        s3=s3,
        is_open=_never,
        check_public=Outbound(allowed=()).check,
    )


def _eodag_way(site: SiteSettings, state: Path) -> EodagWay | None:
    catalogue = site.catalogue
    if catalogue.eodag is None or site.downloads.credentials is not None:
        return None
    return EodagWay(
        site=site.id,
        settings=catalogue.eodag,
        folder=state / "eodag" / f"{site.id}-downloads",
        timeout_seconds=catalogue.timeout_seconds,
    )


def _never(href: str) -> bool:
    """Tell that a provider's plug-in may sign any address, or that only we may reach it."""
    return False


def _direct_site(site: SiteSettings, data: DataSite) -> DirectSite:
    direct, storage = site.downloads.direct, site.storage
    if direct is None or storage is None or data.s3 is None:
        raise ValueError(f"{site.id}: `downloads.direct` needs `storage`")
    tokens = None
    if direct.sts:
        tokens = SecurityTokens(
            site=site.id,
            role=Role(url=direct.sts, arn=direct.role, region=storage.region),
            access_key=storage.access_key.reveal(),
            secret_key=storage.secret_key.reveal(),
            session=data.session,
        )
    endpoint = (site.downloads.public_endpoint or storage.endpoint).rstrip("/")
    return DirectSite(id=site.id, settings=direct, s3=data.s3, endpoint=endpoint, region=storage.region, tokens=tokens)


def _own_origins(site: SiteSettings) -> list[str]:
    """Return the private addresses that are this site's: another's are as strange to it as to anybody."""
    urls = [site.catalogue.url, *site.catalogue.mirrors, *site.asset_origins]
    urls += [site.storage.endpoint] if site.storage is not None else []
    urls += site.downloads.credentials.origins if site.downloads.credentials is not None else ()
    urls += [site.downloads.direct.sts] if site.downloads.direct is not None else []
    urls += site.tunnel.detours.values() if site.tunnel is not None else ()
    return [url for url in urls if url]


def _credential_origins(site: SiteSettings) -> list[str]:
    own = site.downloads.credentials.origins if site.downloads.credentials is not None else ()
    return [url for url in (site.catalogue.url, *own) if url]


def _bases(sites: Iterable[SiteSettings]) -> Mapping[str, str]:
    return {site.id: site.catalogue.url.rstrip("/") for site in sites}
