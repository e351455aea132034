"""The room of HOOK's OData face. Its records come before harvests, which read and write by what they hold."""

from collections.abc import Mapping

from gateway.hook.books import Books
from gateway.hook.buckets import OwnBuckets
from gateway.hook.desk import Desk
from gateway.hook.downloads import Downloads
from gateway.hook.errors import odata_errors_middleware
from gateway.hook.externals import Externals
from gateway.hook.face import HookFace
from gateway.hook.inputs import Terms
from gateway.hook.links import Links
from gateway.hook.model import HookOrder, Numbers
from gateway.hook.sealing import Sealer
from gateway.house.adapters import records_of
from gateway.house.house import House
from gateway.order_metrics import HookOrderMetrics
from harvest.harvester import Harvester
from harvest.seams import Place


async def open_hook_books(house: House, places: Mapping[str, Place]) -> Books:
    """Open the records of HOOK orders, and the buckets that they bring; ``places`` are those of everybody."""
    orders = await house.stack.enter_async_context(records_of(house.settings, "hook_orders", HookOrder))
    numbers = await house.stack.enter_async_context(records_of(house.settings, "hook_numbers", Numbers))
    former = [secret.reveal().encode() for secret in house.settings.auth.former_signing_keys]
    sealer = Sealer(house.key, former=former)
    buckets = OwnBuckets(fixed=places, orders=orders, sealer=sealer, lines=house.outbound.lines)
    await house.stack.enter_async_context(buckets.running())
    sources = house.settings.harvest.hook.sources
    externals = Externals(orders=orders, sealer=sealer, outbound=house.outbound, sources=sources)
    return Books(orders=orders, numbers=numbers, sealer=sealer, buckets=buckets, externals=externals)


async def add_hook(house: House, books: Books, harvester: Harvester) -> None:
    """Add HOOK's face, and the desk behind it."""
    harvest = house.settings.harvest
    settings = harvest.hook
    desk = Desk(
        books=books,
        harvester=harvester,
        ledger=house.ledger,
        settings=settings,
        target=settings.target or _first_target(house, books),
    )
    await house.stack.enter_async_context(desk.running())
    HookOrderMetrics(house.metrics, orders=books.orders)
    face = HookFace(
        desk=desk,
        downloads=Downloads(harvester=harvester, places=books.buckets, most=settings.downloads),
        links=Links(key=house.key, base=house.base, seconds=settings.link_seconds),
        terms=Terms(settings=settings, buckets=harvest.buckets, base=house.base),
    )
    house.routes += face.routes()
    house.gatekeepers.append(odata_errors_middleware)


def _first_target(house: House, books: Books) -> str:
    """Return the first site, by the operator's own ranking, that takes copies; empty where none does."""
    able = [site.id for site in house.registry.sites() if site.id in books.buckets]
    return next((name for name in able if books.buckets[name].takes_copies), "")
