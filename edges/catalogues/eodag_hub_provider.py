"""One EODAG provider, as plain calls that block: the only module that knows the library.

The library is imported where a hub is first used, since it costs a second and 100 MB that no other site needs. It gets
every one of its settings from us: no folder of the user, no network at the start, nothing from the environment.
"""

import importlib
import importlib.util
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import shapely

from edges.catalogues.eodag_hub_items import Product
from edges.errors import EdgeError, SiteMisbehaved, SiteUnavailable
from edges.model import Frozen, Json
from edges.settings import EodagSettings

_CREDENTIAL_PLUGINS = ("api", "search_auth", "auth", "download_auth")
_MAX_PAGE = 1_000
PLACEHOLDER = "_ORDERABLE_"
"""What EODAG puts into the id of a product that stands for an order that can be given."""
_IDS = "ids"
_ONE, _MANY = '{{"ids":["{id}"]}}', '{{"ids":{ids}}}'
"""How the library asks a STAC API for one id; and for many, which is a word of ours."""
_QUERY = re.compile(r"\?\S*|(?<=://)[^/@\s]+@")
"""What of an address may hold a secret."""


class EodagConfigError(ValueError):
    """The provider cannot be used as it is configured."""


class Ask(Frozen):
    """One search of one collection. Times are RFC 3339; ``descending`` orders by time, None leaves it to the provider.

    ``token`` and ``token_key`` are what the page before gave. ``native`` are values of the provider's own words.
    ``ids`` are for providers that find many at once.
    """

    collection: str
    limit: int
    item_id: str | None = None
    ids: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    geometry: str | None = None
    """As WKT."""
    descending: bool | None = None
    token: Any = None
    token_key: str | None = None
    native: Mapping[str, Any] = {}


class Answer(Frozen):
    """One page of products, and how the following one is asked for; ``token`` is None at the end."""

    products: list[Product]
    token: Any = None
    token_key: str | None = None


class EodagProvider:
    """A provider's session. Not for two threads at once.

    Raises:
        EodagConfigError: the provider is unknown, or cannot be used as configured.
    """

    def __init__(self, *, site: str, settings: EodagSettings, folder: Path, timeout_seconds: float) -> None:
        self._site = site
        self._name = settings.provider
        self._errors: Any = importlib.import_module("eodag.utils.exceptions")
        with BUILDING:
            self._library = library_of(settings, folder, timeout_seconds)
            _keep_to_searching(self._library, settings.provider)
        self._plugin = self._search_plugin()

    @property
    def max_page(self) -> int:
        """Return the largest page that the provider takes."""
        return int(self._plugin.config.pagination.get("max_limit") or _MAX_PAGE)

    @property
    def sorts(self) -> bool:
        """Tell whether the provider claims to sort by time."""
        told = self._library.available_sortables().get(self._name) or {}
        return "start_datetime" in (told.get("sortables") or [])

    @property
    def finds_many(self) -> bool:
        """Tell whether the provider can be asked for many ids at once: a STAC API, asked by the library's own words."""
        config = self._plugin.config
        scoped = any("metadata_mapping" in (told or {}) for told in getattr(config, "products", {}).values())
        mapping = getattr(config, "metadata_mapping", {})
        return not scoped and _asked_by(mapping.get(_IDS)) == _MANY and _asked_by(mapping.get("id")) == _ONE

    def collections(self) -> list[Json]:
        """Return what EODAG knows of the provider's collections."""
        found = self._library.list_collections(provider=self._name, fetch_providers=False)
        return [each.model_dump(mode="json", by_alias=True) for each in found]

    def search(self, ask: Ask) -> Answer:
        """Search one page.

        Raises:
            SiteUnavailable, SiteMisbehaved: the provider failed, or refused.
        """
        order = {} if ask.descending is None else {"sort_by": [("start_datetime", "DESC" if ask.descending else "ASC")]}
        wanted: Json = {"id": ask.item_id} if ask.item_id is not None else {"limit": ask.limit}
        if ask.ids:
            wanted[_IDS] = list(ask.ids)
        paging = {} if ask.token is None else {"next_page_token": ask.token, "next_page_token_key": ask.token_key}
        with self._translated():
            found = self._library.search(
                provider=self._name,
                collection=ask.collection,
                start=ask.start,
                end=ask.end,
                geom=shapely.from_wkt(ask.geometry) if ask.geometry is not None else None,
                raise_errors=True,
                validate=False,
                count=False,
                **wanted,
                **order,
                **paging,
                **ask.native,
            )
            for _, error in found.errors:
                raise error
            products = [_as_asked(_product(each, ask.collection), ask) for each in found]
        return Answer(products=products, token=found.next_page_token, token_key=found.next_page_token_key)

    def _search_plugin(self) -> Any:
        with self._translated():
            for plugin in self._library._plugins_manager.get_search_plugins(provider=self._name):  # noqa: SLF001 - its page size is told nowhere else
                return plugin
        raise EodagConfigError(f"EODAG has no search for provider {self._name!r}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except EdgeError:
            raise
        except Exception as error:
            # the boundary to a library whose plugins let all kinds of errors through
            raise self._as_ours(error) from error

    def _as_ours(self, error: Exception) -> EdgeError:
        errors, status = self._errors, getattr(error, "status_code", None)
        if isinstance(error, errors.AuthenticationError) or status in (401, 403):
            return SiteUnavailable(self._site, "the provider refused our credentials")
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            return SiteUnavailable(self._site, f"the provider could not be reached: {type(error).__name__}")
        if isinstance(error, (errors.TimeOutError, errors.QuotaExceededError, errors.NotAvailableError)) or (
            isinstance(error, errors.RequestError) and (status is None or status == 429 or status >= 500)
        ):
            return SiteUnavailable(self._site, f"the provider could not answer: {told(error)}")
        if isinstance(error, errors.EodagError):
            return SiteMisbehaved(self._site, f"{type(error).__name__}: {told(error)}")
        return SiteMisbehaved(self._site, f"its answer could not be read: {type(error).__name__}")


BUILDING = threading.Lock()
"""The library writes files and registers plug-ins while it is built: one at a time."""


def told(error: Exception) -> str:
    """Return an error's first line without what may be secret."""
    return _QUERY.sub("", str(error).split("\n")[0])[:200]


def check_provider(settings: EodagSettings) -> None:
    """Find what would keep a provider from being used, without starting anything or asking anyone.

    Raises:
        EodagConfigError: names the setting.
    """
    shipped = _shipped(settings.provider)
    if settings.config and not Path(settings.config).is_file():
        raise EodagConfigError(f"config: no file {settings.config!r}")
    if not shipped.is_file() and not settings.config and not settings.definition:
        known = ", ".join(sorted(path.stem for path in shipped.parent.glob("*.yml")))
        raise EodagConfigError(f"provider: {settings.provider!r} is none of EODAG's ({known}) and has no `definition`")
    prefix = f"EODAG__{settings.provider}__".upper()
    leaking = sorted(name for name in os.environ if name.upper().startswith(prefix))
    if leaking:
        raise EodagConfigError(f"definition: the environment would change it; unset {leaking[0]}")


def _shipped(provider: str) -> Path:
    spec = importlib.util.find_spec("eodag")
    if spec is None or spec.origin is None:
        raise EodagConfigError("the library eodag is not installed")
    return Path(spec.origin).parent / "resources" / "providers" / f"{provider}.yml"


def library_of(settings: EodagSettings, folder: Path, timeout_seconds: float) -> Any:
    """Return EODAG with one provider and nothing else; to be called by one thread at a time (:data:`BUILDING`).

    Raises:
        EodagConfigError: the provider is unknown, or cannot be used as configured.
    """
    check_provider(settings)
    logging.getLogger("eodag").setLevel(logging.ERROR)  # below it, the addresses that it asks are written out
    eodag: Any = importlib.import_module("eodag")
    config: Any = importlib.import_module("eodag.config")
    library = eodag.EODataAccessGateway(settings=config.EODAGSettings(**_files(settings, folder)))
    library.update_providers_config(dict_conf={settings.provider: _definition(settings, library, timeout_seconds)})
    if settings.provider not in library.providers:
        raise EodagConfigError(
            f"EODAG leaves provider {settings.provider!r} out: credentials may be missing, or a plug-in unknown"
        )
    return library


def _keep_to_searching(library: Any, provider: str) -> None:
    """Leave out what is for downloads: for each item found, the library would prepare one, over the network."""
    config = library._providers.get_config(provider)  # noqa: SLF001 - what it tells elsewhere are copies
    search = getattr(config, "search", None)
    needed = getattr(search, "need_auth", False)
    for name in ("download_auth",) if needed else ("download_auth", "auth", "search_auth"):
        if hasattr(config, name):
            delattr(config, name)


def _files(settings: EodagSettings, folder: Path) -> dict[str, Any]:
    """Write what the library wants to read, and name all of its settings: others it takes from the environment."""
    providers = folder / "providers"
    providers.mkdir(parents=True, exist_ok=True, mode=0o700)
    shipped = _shipped(settings.provider)
    if shipped.is_file():
        shutil.copyfile(shipped, providers / shipped.name)
    for name, content in (("user.yml", ""), ("locations.yml", "shapefiles: []\n"), ("collections.json", "{}")):
        (folder / name).write_text(content, encoding="utf-8")
    return {
        "cfg_dir": folder,
        "cfg_file": Path(settings.config) if settings.config else folder / "user.yml",
        "locations_cfg_file": folder / "locations.yml",
        "providers_cfg_dir": providers,
        "ext_collections_cfg_uri": str(folder / "collections.json"),
        "strict_collections": False,
        "providers_whitelist": [settings.provider],
        "validate_collections": False,
    }


def _definition(settings: EodagSettings, library: Any, timeout_seconds: float) -> Json:
    """Return what is added to the provider: the operator's own words, our time-out and the credentials."""
    own: Json = {"name": settings.provider, **settings.definition}
    known = library.providers.get(settings.provider)
    pruned = library._providers.pruned_providers_config.get(settings.provider)  # noqa: SLF001 - where those without credentials are
    told_of = known.config if known is not None else pruned
    if "api" not in own and getattr(told_of, "api", None) is None:
        own["search"] = {**own.get("search", {}), "timeout": timeout_seconds}
        if (own["search"].get("type") or getattr(getattr(told_of, "search", None), "type", "")) == "StacSearch":
            own["search"]["metadata_mapping"] = {**own["search"].get("metadata_mapping", {}), _IDS: [_MANY, "$.null"]}
    if settings.credentials:
        plugins = [name for name in _CREDENTIAL_PLUGINS if name in own or getattr(told_of, name, None) is not None]
        if not plugins:
            raise EodagConfigError("credentials: the provider has no authentication; describe one in `definition`")
        values = {name: secret.reveal() for name, secret in settings.credentials.items()}
        for name in plugins:
            own[name] = {**own.get(name, {}), "credentials": values}
    return own


def _asked_by(mapping: Any) -> Any:
    return mapping[0] if isinstance(mapping, list) and mapping else None


def _as_asked(product: Product, ask: Ask) -> Product:
    """Return a product that stands for what was asked in the words in which it was; others as they are."""
    if not ask.native or PLACEHOLDER not in str(product.properties.get("id")):
        return product
    return msgspec.structs.replace(product, properties={**product.properties, **ask.native})


def _product(product: Any, collection: str) -> Product:
    geometry = product.geometry
    return Product(
        collection=collection,
        properties=dict(product.properties),
        assets={key: dict(asset) for key, asset in product.assets.as_dict().items()},
        geometry=shapely.geometry.mapping(geometry) if geometry is not None else None,
        bounds=tuple(geometry.bounds) if geometry is not None else (),
    )
