"""The only ``ClientSession`` and the only lines: every outbound call goes through their guards.

Rules (security contract: server-side request forgery, cookies, credentials): private addresses are reachable only
where an operator named their origin; each DNS answer is checked at connect time, so that rebinding does not help;
redirects are never followed; cookies are neither kept nor sent; proxies of the environment are not trusted.
"""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import StrOrURL
from yarl import URL

from edges.errors import DestinationRefused, SiteMisbehaved, SiteUnavailable
from edges.hops import HOPS
from edges.lines.lines import Lines, Recorder
from edges.request_ids import travelling_headers

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is given out of the IPv6 space (RFC 4291 section 2.4)."""
_CARRY_IPV4 = tuple(ipaddress.ip_network(prefix) for prefix in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"))
_RELAYS = ipaddress.ip_network("192.88.99.0/24")
"""Addresses of 6to4 relays (RFC 7526): not where any catalogue is."""
KEEPALIVE_SECONDS = 4.0
"""Below uvicorn's 5 s: a connection that the server is about to close is not picked for a POST."""


def origin_of(url: StrOrURL) -> tuple[str, int]:
    """Return host and port of a URL: what an allow-list entry and a connection have in common."""
    parsed = URL(url)
    return (parsed.host or "", parsed.port or 0)


class Tracer(Recorder, Protocol):
    """Makes a request as a part of the present one, and sends with it the headers that tell so."""

    async def calling(self, request: aiohttp.ClientRequest, call: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Make it."""
        ...


class Outbound:
    """Owns the session. ``allowed`` are URLs whose host and port may be private (configured sites and stores).

    ``resolver`` finds the addresses of names, by default the system's; it is closed with the session. ``name`` is told
    with every request, so that gateways in a circle know each other (``edges.hops``). ``tracer`` records requests.
    """

    def __init__(
        self,
        *,
        allowed: Iterable[str],
        connections: int = 0,
        resolver: AbstractResolver | None = None,
        name: str = "",
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._headers = {HOPS: name} if name else {}
        self._resolver = resolver
        self._allowed = frozenset(origin_of(url) for url in allowed)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._lines: Lines | None = None
        self._site_lines: Lines | None = None

    @property
    def site_lines(self) -> Lines:
        """Return the lines for what users wait for, each request of which is recorded; only inside ``async with``."""
        if self._site_lines is None:
            raise RuntimeError("Outbound is used before it was entered")
        return self._site_lines

    @property
    def lines(self) -> Lines:
        """Return the lines for large bodies and many small ones, under the same guards; only inside ``async with``."""
        if self._lines is None:
            raise RuntimeError("Outbound is used before it was entered")
        return self._lines

    @property
    def session(self) -> aiohttp.ClientSession:
        """Return the session; only inside ``async with``."""
        if self._session is None:
            raise RuntimeError("Outbound is used before it was entered")
        return self._session

    def check(self, url: StrOrURL) -> None:
        """Refuse a URL that we may not call.

        Raises:
            DestinationRefused: another scheme than http(s), credentials in the URL, or a private address that no
                operator has named.
        """
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise DestinationRefused(f"only http and https URLs with a host are fetched, not {parsed.scheme!r}")
        if parsed.user is not None or parsed.password is not None:
            raise DestinationRefused("URLs with credentials inside are not fetched")
        if origin_of(parsed) in self._allowed:
            return
        address = _literal(parsed.host)
        if address is not None and not _is_public(address):
            raise DestinationRefused(f"address {parsed.host} is private and not allow-listed")

    async def __aenter__(self) -> Self:
        resolver = _CheckedResolver(self._allowed, self._resolver or aiohttp.ThreadedResolver())
        self._lines = Lines(check=self.check, resolver=resolver, told=self._told)
        self._site_lines = Lines(check=self.check, resolver=resolver, told=self._told, recorder=self._tracer)
        connector = aiohttp.TCPConnector(
            limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS, resolver=resolver
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(self._guard,),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lines in (self._lines, self._site_lines):
            if lines is not None:
                await lines.__aexit__(kind, error, trace)
        self._lines = self._site_lines = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _told(self) -> Mapping[str, str]:
        return {**self._headers, **travelling_headers()}

    async def _guard(self, request: aiohttp.ClientRequest, call: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        self.check(request.url)
        if self._tracer is not None:
            return await self._tracer.calling(request, call)
        request.headers.update(travelling_headers())
        return await call(request)


class _CheckedResolver(AbstractResolver):
    """Resolves as usual, then refuses the name if any of its addresses is one that we may not call."""

    def __init__(self, allowed: frozenset[tuple[str, int]], inner: AbstractResolver) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        if (host, port) not in self._allowed:
            for answer in answers:
                if not _is_public(ipaddress.ip_address(answer["host"])):
                    raise DestinationRefused(f"name {host} resolves to a private address")
        return answers

    async def close(self) -> None:
        await self._inner.close()


def _literal(host: str) -> Address | None:
    """Read a host as the address that the system would dial: also 127.1, 0x7f.1 and 2130706433."""
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(socket.inet_aton(host))
    except OSError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return _is_public(inner)
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast and address not in _RELAYS


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a host or a relay would make of an IPv6 one.

    Mapped and 6to4 (RFC 4291 section 2.5.5.2, RFC 3056), NAT64 (RFC 6052), compatible and translated forms (RFC 4291
    section 2.5.5.1, RFC 2765).
    """
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and any(address in prefix for prefix in _CARRY_IPV4):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner


async def read_bounded(response: aiohttp.ClientResponse, *, site: str, limit: int) -> bytes:
    """Read a whole body of at most ``limit`` bytes, decompressed.

    Raises:
        SiteMisbehaved: the body is larger.
        SiteUnavailable: the connection broke off.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > limit:
                raise SiteMisbehaved(site, f"answer is larger than {limit} bytes")
            pieces.append(piece)
    except aiohttp.ClientPayloadError as error:
        raise SiteUnavailable(site, "its connection broke off", code="broken") from error
    return b"".join(pieces)
