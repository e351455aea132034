"""Orders at a provider that EODAG knows: its own plug-in orders and asks, in threads with a deadline.

What EODAG knows of an ordered product is plain values; they are the order's handle, so that it can be asked for again
after a restart, and by another gateway.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import shapely

from edges.catalogues.eodag_hub_items import Product, item_of
from edges.catalogues.eodag_hub_provider import BUILDING, EodagConfigError, library_of, told
from edges.catalogues.eodag_hub_query import NATIVE
from edges.catalogues.eodag_hub_threads import BoundedThreads
from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.model import Json
from edges.narrowing import Chosen
from edges.ordering.model import OrderRefused, OrderReport, OrderStatus, OrderUnknown, status_of
from edges.settings import EodagSettings, OrderSettings

T = TypeVar("T")
ITEM = "id"
_REFUSED = (400, 404, 422)
_ENDED: tuple[OrderStatus, ...] = ("failed", "canceled")


class EodagOrders:
    """Implements :class:`edges.ordering.model.Ordering`, and :class:`edges.narrowing.Narrowing`.

    ``native`` gives EODAG's names of a collection. ``folder`` is for the library's files, apart from a search's.
    """

    def __init__(
        self,
        *,
        site: str,
        eodag: EodagSettings,
        settings: OrderSettings,
        folder: Path,
        native: Callable[[str], Sequence[str]],
    ) -> None:
        self._site = site
        self._eodag = eodag
        self._seconds = settings.timeout_seconds
        self._folder = folder
        self._native = native
        self._threads = BoundedThreads(site=site, workers=eodag.workers, seconds=settings.timeout_seconds)
        self._idle: list[Desk] = []

    @property
    def repeats(self) -> bool:
        """Tell that orders may not be given again: EODAG passes no key on, and lists no orders."""
        return False

    async def place(self, collection: str, parameters: Json, *, key: str = "") -> OrderReport:
        """Search for the product that stands for the order, and order it.

        Raises:
            OrderUnknown: the provider was asked, and what it said did not come.
        """
        name = next(iter(self._native(collection)), collection)
        asking = _Asking()
        try:
            return await self._run(lambda desk: desk.place(name, parameters, asking))
        except (SiteUnavailable, SiteMisbehaved) as error:
            if asking.open:
                raise OrderUnknown(self._site, error.reason) from error
            raise

    async def look(self, handle: Json) -> OrderReport:
        """Ask how an ordered product is."""
        return await self._run(lambda desk: desk.look(handle))

    async def cancel(self, handle: Json) -> bool:
        """Tell that EODAG cannot withdraw orders."""
        return False

    async def queryables(self, collection: str, chosen: Chosen) -> Json | None:
        """Return what EODAG knows of a collection's queryables, narrowed."""
        name = next(iter(self._native(collection)), collection)
        return await self._run(lambda desk: desk.queryables(name, chosen))

    async def _run(self, call: Callable[["Desk"], T]) -> T:
        def work() -> T:
            desk = self._idle.pop() if self._idle else self._opened()
            try:
                return call(desk)
            finally:
                self._idle.append(desk)

        return await self._threads.run(work)

    def _opened(self) -> "Desk":
        try:
            with BUILDING:
                library = library_of(self._eodag, self._folder, self._seconds)
        except (EodagConfigError, LookupError, OSError) as error:
            raise SiteMisbehaved(self._site, f"EODAG cannot be used: {error}") from error
        return Desk(self._site, self._eodag.provider, library)


class _Asking:
    """Whether a provider was asked for an order, and has not answered: told by the thread that asks."""

    open = False


class Desk:
    """A session of the library, as calls that block. Not for two threads at once."""

    def __init__(self, site: str, provider: str, library: Any) -> None:
        self._site = site
        self._provider = provider
        self._library = library
        self._errors: Any = importlib.import_module("eodag.utils.exceptions")
        below: Any = importlib.import_module("urllib3.exceptions")
        self._unsent = (below.ConnectTimeoutError, below.NewConnectionError)
        self._product: Any = importlib.import_module("eodag.api.product").EOProduct

    def place(self, collection: str, parameters: Json, asking: _Asking) -> OrderReport:
        product = self._found(collection, parameters)
        status = status_of(product.properties.get("order:status"))
        if status == "succeeded" and not product.properties.get("eodag:order_link"):
            return self._report(product, "succeeded")
        if not product.properties.get("eodag:order_link"):
            raise OrderRefused(self._site, "the product cannot be ordered")
        try:
            auth = self._signed_in(product)
            asking.open = True
            product.downloader._order(product, auth)  # noqa: SLF001 - its public verb waits until the end
        except Exception as error:
            # the boundary to a library whose plugins let all kinds of errors through
            asking.open = asking.open and _status(error) is None and not _is_unsent(error, self._unsent)
            raise self._refusal(error) from error
        return self._report(product, "ordered")

    def look(self, handle: Json) -> OrderReport:
        product = self._restored(handle)
        if not product.properties.get("eodag:status_link"):
            return self._report(product, "succeeded")  # a provider that gives its product at once
        try:
            product.downloader._order_status(product, self._signed_in(product))  # noqa: SLF001 - as above
        except self._errors.DownloadError as error:
            if _status(error) is None and not isinstance(error.__cause__, OSError):
                return self._report(product, "failed", told(error))
            raise SiteUnavailable(self._site, f"an order cannot be asked for: {told(error)}") from error
        except Exception as error:
            # the boundary to the library, as above
            raise self._as_ours(error) from error
        word = status_of(product.properties.get("eodag:order_status"))
        if word in _ENDED:
            return self._report(product, word, str(product.properties.get("eodag:order_message") or "")[:300])
        done = status_of(product.properties.get("order:status")) == "succeeded"
        return self._report(product, "succeeded" if done else "shipping" if word == "shipping" else "ordered")

    def queryables(self, collection: str, chosen: Chosen) -> Json | None:
        values = {name: list(each) if len(each) > 1 else each[0] for name, each in chosen.items()}
        try:
            found = self._library.list_queryables(
                provider=self._provider, collection=collection, fetch_providers=False, **values
            )
            schema: Json = found.get_model().model_json_schema()
        except Exception as error:
            # the boundary to the library, as above
            raise self._as_ours(error) from error
        return _renamed(schema) | {"additionalProperties": bool(found.additional_properties)}

    def _found(self, collection: str, parameters: Json) -> Any:
        names = {ITEM: parameters[ITEM]} if parameters.keys() == {ITEM} else _prefixed(parameters)
        try:
            found = self._library.search(
                provider=self._provider,
                collection=collection,
                raise_errors=True,
                validate=False,
                count=False,
                **names,
            )
        except Exception as error:
            # the boundary to the library, as above
            raise self._refusal(error) from error
        if not found:
            raise OrderRefused(self._site, "there is no such product")
        self._library._setup_downloader(found[0])  # noqa: SLF001 - what its download does first
        return found[0]

    def _restored(self, handle: Json) -> Any:
        geometry = shapely.from_wkt(handle["geometry"]) if handle.get("geometry") else None
        product = self._product(
            self._provider, dict(handle["properties"]), collection=handle["collection"], geometry=geometry
        )
        self._library._setup_downloader(product)  # noqa: SLF001 - as above
        return product

    def _signed_in(self, product: Any) -> Any:
        auth = product.downloader_auth
        return auth.authenticate() if auth is not None else None

    def _report(self, product: Any, status: OrderStatus, reason: str = "") -> OrderReport:
        properties = {name: value for name, value in product.properties.items() if _is_plain(value)}
        geometry = product.geometry
        handle = {
            "collection": product.collection,
            "properties": properties,
            "geometry": shapely.to_wkt(geometry) if geometry is not None else None,
        }
        item = None
        if status == "succeeded":
            told_of = Product(
                collection=str(product.collection),
                properties={**product.properties, "order:status": "succeeded"},
                assets={key: dict(asset) for key, asset in product.assets.as_dict().items()},
                geometry=shapely.geometry.mapping(geometry) if geometry is not None else None,
                bounds=tuple(geometry.bounds) if geometry is not None else (),
            )
            members = item_of(told_of)
            item = {name: msgspec.json.decode(raw) for name, raw in members.items()} if members is not None else None
        return OrderReport(status=status, handle=handle, item=item, reason=reason)

    def _refusal(self, error: Exception) -> Exception:
        """Return an error as a refusal, where the same order would be refused again."""
        refusing = isinstance(error, (self._errors.ValidationError, self._errors.NoMatchingCollection))
        if refusing or _status(error) in _REFUSED:
            return OrderRefused(self._site, told(error))
        return self._as_ours(error)

    def _as_ours(self, error: Exception) -> Exception:
        if isinstance(error, (OrderRefused, SiteUnavailable, SiteMisbehaved)):
            return error
        if isinstance(error, self._errors.AuthenticationError) or _status(error) in (401, 403):
            return SiteUnavailable(self._site, "the provider refused our credentials")
        if isinstance(error, (OSError, self._errors.EodagError)):
            return SiteUnavailable(self._site, f"the provider could not be asked: {told(error)}")
        return SiteMisbehaved(self._site, f"its answer could not be read: {type(error).__name__}")


def _status(error: Exception) -> int | None:
    """Return the HTTP status behind an error of the library, if there is one."""
    for each in (error, error.__cause__):
        status = getattr(each, "status_code", None) or getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _is_unsent(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    """Tell whether behind an error of the library no connection was made."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        reason = getattr(next(iter(error.args), None), "reason", None)  # what urllib3 wraps
        if isinstance(error, kinds) or isinstance(reason, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _prefixed(parameters: Json) -> Json:
    return {name if ":" in name else f"{NATIVE}{name}": value for name, value in parameters.items()}


def _renamed(schema: Mapping[str, Any]) -> Json:
    """Return EODAG's schema with the names that a query has: its model writes underscores."""
    properties = {
        f"{NATIVE}{name.removeprefix('ecmwf_')}" if name.startswith("ecmwf_") else name: each
        for name, each in schema.get("properties", {}).items()
        if isinstance(each, dict) and name not in ("start", "end", "geom", "collection")
    }
    required = [f"{NATIVE}{name.removeprefix('ecmwf_')}" for name in schema.get("required", []) if "ecmwf_" in name]
    return {"properties": properties, "required": required}


def _is_plain(value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(each) for name, each in value.items())
    return value is None or isinstance(value, str | int | float | bool)
