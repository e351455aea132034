"""Addresses of a provider that EODAG knows: its plug-ins say how they are asked, and the bytes come by our own hands.

A plug-in's session blocks, reads no ranges and holds a thread for as long as a client reads. So it is asked only for
what it alone knows: the headers, the signed address or the keys that a request needs. That takes one of few threads,
for milliseconds; then the provider is asked directly. What a plug-in signs in with goes to hosts of the provider only.
"""

import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edges.catalogues.eodag_hub_provider import BUILDING, EodagConfigError, library_of, told
from edges.catalogues.eodag_hub_threads import BoundedThreads
from edges.downloads.ways import Call
from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.settings import EodagSettings

_HOST = re.compile(r"https?://([A-Za-z0-9.-]{1,253})")
_DEPTH = 6
_AUTH_SECONDS = 60.0
"""How long what a plug-in gave to sign in is used again: many ask for a new token each time."""
_MOST_SIGNED_IN = 64
_SIGNED_SECONDS = 3600


class EodagWay:
    """Implements :class:`edges.downloads.ways.Way` for all addresses of one provider's items.

    ``folder`` is for the library's files; ``clock`` one that does not step, in seconds.
    """

    def __init__(
        self,
        *,
        site: str,
        settings: EodagSettings,
        folder: Path,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._settings = settings
        self._folder = folder
        self._seconds = timeout_seconds
        self._threads = BoundedThreads(site=site, workers=1, seconds=timeout_seconds)
        self._clock = clock
        self._counter: _Counter | None = None

    def takes(self, href: str) -> bool:
        return href.startswith(("https://", "http://", "s3://"))

    async def call(self, method: str, href: str) -> Call:
        return await self._threads.run(lambda: self._asked(method, href))

    def _asked(self, method: str, href: str) -> Call:
        """Ask the library; in its thread."""
        try:
            if self._counter is None:
                self._counter = self._opened()
            return self._counter.call(method, href)
        except EdgeError:
            raise
        except Exception as error:
            # the boundary to a library whose plugins let all kinds of errors through
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> EdgeError:
        errors: Any = importlib.import_module("eodag.utils.exceptions")
        if isinstance(error, errors.AuthenticationError):
            return SiteUnavailable(self._site, "the provider refused our credentials")
        if isinstance(error, OSError | errors.RequestError | errors.TimeOutError):
            return SiteUnavailable(self._site, f"the provider could not be reached to sign in ({type(error).__name__})")
        return SiteMisbehaved(self._site, f"EODAG cannot sign in: {type(error).__name__}: {told(error)}")

    def _opened(self) -> "_Counter":
        try:
            with BUILDING:
                library = library_of(self._settings, self._folder, self._seconds)
        except (EodagConfigError, LookupError, OSError) as error:
            raise SiteMisbehaved(self._site, f"EODAG cannot be used: {error}") from error
        return _Counter(self._site, self._settings.provider, library, self._clock)


class _Counter:
    """A session of the library, as calls that block. Not for two threads at once."""

    def __init__(self, site: str, provider: str, library: Any, clock: Callable[[], float]) -> None:
        self._site = site
        self._provider = provider
        self._library = library
        self._clock = clock
        self._signed_in: dict[str, tuple[float, Any]] = {}
        self._named: frozenset[str] | None = None
        self._product: Any = importlib.import_module("eodag.api.product").EOProduct
        self._requests: Any = importlib.import_module("requests")

    def call(self, method: str, href: str) -> Call:
        """Return the request that the provider's plug-in would make."""
        product = self._product(self._provider, {"id": "download", "eodag:download_link": href})
        plugin = self._library._plugins_manager.get_download_plugin(product)  # noqa: SLF001 - public only by way of a search
        if str(getattr(plugin.config, "method", "GET")).upper() != "GET":
            raise NotFound(f"{self._site}: the provider gives its data in a way that cannot be passed on")
        auth = None if getattr(plugin.config, "no_auth_download", False) else self._auth(plugin, product, href)
        if hasattr(auth, "meta"):  # a session of S3
            return _signed(auth, method, href, self._site)
        if href.startswith("s3://"):
            raise NotFound(f"{self._site}: no credentials for the provider's S3 store are configured")
        params = getattr(plugin.config, "dl_url_params", None) or {}
        plain = self._requests.Request("GET", href, params=params).prepare()
        request = self._requests.Request("GET", href, params=params, auth=auth).prepare()
        headers = {name: value for name, value in request.headers.items() if plain.headers.get(name) != value}
        if headers and not is_kin(urlsplit(href).hostname or "", self._hosts()):
            return Call(url=plain.url)  # a picture at somebody else's, say: our token is none of their business
        return Call(url=request.url, headers={str(name): _text(value) for name, value in headers.items()})

    def _hosts(self) -> frozenset[str]:
        """Return the hosts that the provider's configuration names."""
        if self._named is None:
            config = self._library._providers.get_config(self._provider)  # noqa: SLF001 - what it tells elsewhere are copies
            self._named = frozenset(_hosts_in(vars(config), depth=_DEPTH))
        return self._named

    def _auth(self, plugin: Any, product: Any, href: str) -> Any:
        """Return what signs requests; made anew after a minute."""
        place, now = urlsplit(href).netloc, self._clock()
        kept = self._signed_in.get(place)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = self._library._plugins_manager.get_auth_plugin(plugin, product)  # noqa: SLF001 - as above
        auth = found.authenticate() if found is not None else None
        if len(self._signed_in) >= _MOST_SIGNED_IN:
            self._signed_in.clear()
        self._signed_in[place] = (now + _AUTH_SECONDS, auth)
        return auth


def is_kin(host: str, named: Iterable[str]) -> bool:
    """Tell whether a host is one of those named, or stands beside one below the same domain.

    >>> is_kin("zipper.dataspace.example.eu", ["catalogue.dataspace.example.eu"]), is_kin("x.evil.eu", ["a.example.eu"])
    (True, False)
    """
    for each in named:
        domain = each.partition(".")[2]
        if host == each or host.endswith(f".{each}"):
            return True
        if domain.count(".") >= 1 and not domain.rpartition(".")[2].isdigit() and host.endswith(f".{domain}"):
            return True
    return False


def _hosts_in(value: Any, *, depth: int) -> Iterator[str]:
    """Yield the hosts of all addresses in a configuration."""
    if depth == 0:
        return
    if isinstance(value, str):
        yield from (found.lower() for found in _HOST.findall(value))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _hosts_in(each, depth=depth - 1)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _hosts_in(each, depth=depth - 1)
    elif type(value).__module__.startswith("eodag."):
        yield from _hosts_in(vars(value), depth=depth - 1)


def _signed(resource: Any, method: str, href: str, site: str) -> Call:
    parts = urlsplit(href)
    bucket, key = parts.netloc, parts.path.removeprefix("/")
    if parts.scheme != "s3":
        bucket, _, key = key.partition("/")
    if not key or key.endswith("/"):
        raise NotFound(f"{site}: the asset is a folder, not a file")
    verb = "head_object" if method == "HEAD" else "get_object"
    wanted = {"Bucket": bucket, "Key": key}
    return Call(url=str(resource.meta.client.generate_presigned_url(verb, Params=wanted, ExpiresIn=_SIGNED_SECONDS)))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
