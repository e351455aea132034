"""The configuration of sites: small groups, each field with its unit and reason."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from edges.budget import Rate
from edges.model import Frozen


class Secret(Frozen):
    """A secret by reference, so that no configuration file holds one: a ``file`` or an environment variable ``env``."""

    file: str | None = None
    env: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ValueError("a secret names exactly one of `file` and `env`")

    def reveal(self) -> str:
        """Return the secret, without the surrounding white space.

        Raises:
            LookupError: the file cannot be read, the variable is not set, or the value is empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            source = f"environment variable {self.env}"
        else:
            source = f"file {self.file}"
            try:
                value = Path(str(self.file)).read_text(encoding="utf-8")
            except OSError as error:
                raise LookupError(f"secret in {source} cannot be read: {error.strerror}") from error
        if not value.strip():
            raise LookupError(f"secret in {source} is empty or not set")
        return value.strip()


class EodagSettings(Frozen):
    """A provider that EODAG searches, for a hub without a STAC API.

    ``provider`` is one of EODAG's own, or a new one that ``definition`` describes (the provider's part of an EODAG
    configuration: ``search``, ``products``, ``auth``); ``config`` is the path of an EODAG configuration file.
    ``credentials`` go to the provider's authentication plug-ins by name. ``collections`` are the ids, as EODAG calls
    them, that are offered here: each is a request of its own. ``workers`` is how many searches run at once, each in a
    thread.
    """

    provider: str
    collections: tuple[str, ...]
    config: str = ""
    definition: Mapping[str, Any] = {}
    credentials: Mapping[str, Secret] = {}
    workers: int = 4

    def __post_init__(self) -> None:
        if not self.provider or not all(c.isascii() and (c.isalnum() or c == "_") for c in self.provider):
            raise ValueError(f"provider {self.provider!r} may hold ASCII letters, digits and '_' only")
        if not 1 <= len(self.collections) <= _MAX_COLLECTIONS:
            raise ValueError(f"collections must name 1 to {_MAX_COLLECTIONS}: each is asked for apart, on every page")
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise ValueError(f"workers must be 1 to {_MAX_WORKERS}, not {self.workers}")


_MAX_WORKERS = 64
_MAX_COLLECTIONS = 64


class CatalogueSettings(Frozen):
    """A site's catalogue: a STAC API at ``url``, or a provider that EODAG searches (``eodag``).

    ``collections`` maps the site's own collection ids to harmonised ones (what is not named keeps its id).
    ``profile`` is how the site's other words map to ours: the name of a shipped one, or the path of a YAML file;
    ``collections`` are then added to those of the profile.
    ``timeout_seconds`` bounds one request: past it the site is reported, and the others are answered without it.
    ``max_page`` is the largest page we ask of it, ``connections`` how many requests run at once: politeness.
    ``max_page_bytes`` bounds what one answer may weigh, decoded: a hostile site cannot fill our memory.
    ``rate`` is how many requests a second the site takes, in bursts of how many; ``wait_seconds`` the longest that a
    request waits for its turn: past it the site is left out of that answer, and told as such.
    ``mirrors`` are other addresses of the same catalogue: asked where the first one is late or fails.
    ``disjoint`` says that no other site holds what it holds: it is not asked for copies of others' items.
    ``collections_seconds`` is how long its list of collections is good: a probe within it asks for the landing page.
    """

    url: str = ""
    eodag: EodagSettings | None = None
    token: Secret | None = None
    write_token: Secret | None = None
    collections: Mapping[str, str] = {}
    profile: str = ""
    timeout_seconds: float = 15.0
    max_page: int = 1_000
    connections: int = 16
    max_page_bytes: int = 64 * 1024 * 1024
    rate: Rate | None = None
    wait_seconds: float = 5.0
    mirrors: tuple[str, ...] = ()
    collections_seconds: float = 0.0
    disjoint: bool = False

    def __post_init__(self) -> None:
        if bool(self.url) is (self.eodag is not None):
            raise ValueError("a catalogue has exactly one of `url` and `eodag`")


class StorageSettings(Frozen):
    """A site's S3 store. ``endpoint`` is the service's URL; ``bucket`` is where harvests write by default."""

    endpoint: str
    bucket: str
    access_key: Secret
    secret_key: Secret
    region: str = "us-east-1"
    connections: int = 16


class SiteCredentials(Frozen):
    """What a site's data is asked with: a ``bearer`` token, ``basic`` (``user`` and the secret), or a ``header``.

    They go to the origins of the site's catalogue and to ``origins`` (``https://data.example``), and nowhere else:
    not to where an item of the site points beyond them, nor along with a redirect.
    """

    secret: Secret
    kind: Literal["bearer", "basic", "header"] = "bearer"
    user: str = ""
    header: str = ""
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "header") is not bool(self.header) or (self.kind == "basic") is not bool(self.user):
            raise ValueError("credentials: `header` belongs to kind header and `user` to kind basic, and only there")
        if not all(each.isascii() and (each.isalnum() or each == "-") for each in self.header):
            raise ValueError(f"credentials: header {self.header!r} may hold ASCII letters, digits and '-' only")


class DirectSettings(Frozen):
    """Direct access to the site's own S3 store, beside the gateway: signed URLs, and keys that live for a while.

    Those in one of ``groups`` (or below) may have it; none named are all named users. A signed URL lives
    ``url_seconds``. ``sts`` is the URL of the store's Security Token Service, and ``role`` the ARN to assume there
    (some services need none): without ``sts`` no keys are given. Keys live ``key_seconds``, and read no more than
    what was asked for.
    """

    groups: tuple[str, ...] = ()
    url_seconds: int = 3600
    sts: str = ""
    role: str = ""
    key_seconds: int = 3600

    def __post_init__(self) -> None:
        for name, least, most in (("url_seconds", 1, 3600), ("key_seconds", 900, 43_200)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"direct: {name} must be {least} to {most}, not {getattr(self, name)}")


class DownloadSettings(Frozen):
    """How a site's data is given to users.

    ``give``: ``stream``, through the gateway; ``redirect``, by an address that the user's program goes to itself,
    signed for ``signed_seconds`` where the data is in the site's own S3 store (what can be given no such address is
    streamed); ``refuse``, not at all. ``credentials`` are the site's, never a user's. The storage's keys read its
    bucket and ``buckets``, no others. ``in_flight`` downloads run at once. ``public_endpoint`` is where users reach
    the S3 store, if not where the gateway does. ``direct`` gives access beside the gateway. ``count_granted``: what is
    read by redirects and by direct access counts as sent, whole, once while the grant lives; else it does not count.
    """

    give: Literal["stream", "redirect", "refuse"] = "stream"
    credentials: SiteCredentials | None = None
    buckets: tuple[str, ...] = ()
    in_flight: int = 512
    signed_seconds: int = 300
    public_endpoint: str = ""
    direct: DirectSettings | None = None
    count_granted: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.signed_seconds <= _LONGEST_SIGNED:
            raise ValueError(f"downloads: signed_seconds must be 1 to {_LONGEST_SIGNED}, not {self.signed_seconds}")
        if self.in_flight < 1:
            raise ValueError(
                f"downloads: in_flight must be at least 1, not {self.in_flight}; `give: refuse` gives none"
            )


_LONGEST_SIGNED = 600


class DaskSettings(Frozen):
    """A site's Dask Gateway. ``proxy_address`` (``host:port``) is where its TLS comms are, by default the URL's.

    ``secret`` signs the short-lived claims that the edge's authenticator checks. ``cores``, ``memory`` (bytes) and
    ``gpus`` are what the edge has for clusters in all: what does not fit waits there. ``versions`` are of the software
    in its clusters (``dask: 2026.8.0``), told to who asks for one.
    """

    url: str
    secret: Secret
    proxy_address: str | None = None
    timeout_seconds: float = 30.0
    cores: float | None = None
    memory: int | None = None
    gpus: int = 0
    versions: Mapping[str, str] = {}


class KernelSettings(Frozen):
    """A site's Jupyter kernel gateway (Kernel Gateway or Enterprise Gateway).

    ``dask_proxy`` (``host:port``) is the edge's own router of comms as its kernels reach it, so that they stay local.
    """

    url: str
    token: Secret
    timeout_seconds: float = 30.0
    dask_proxy: str = ""


class EscrowSettings(Frozen):
    """What an edge may set aside of its groups' quota, to spend by itself while it is cut off (slices).

    The edge proves itself by ``secret`` (32 bytes or more). Of each of ``groups`` it may hold at most ``most`` at once
    (resource: amount, in the resource's unit), for ``longest_seconds`` from when it asked last.
    """

    secret: Secret
    groups: tuple[str, ...]
    most: Mapping[str, float]
    longest_seconds: float = 3600.0

    def __post_init__(self) -> None:
        if not self.groups or not self.most or not all(amount > 0 for amount in self.most.values()):
            raise ValueError("escrow must name groups, and how much (more than 0) of which resources at most")
        if not self.longest_seconds > 0:
            raise ValueError(f"escrow: longest_seconds must be more than 0, got {self.longest_seconds}")


class TunnelSettings(Frozen):
    """The way to an edge that dials out only (``lakegate site tunnel``): it holds connections to us open.

    The edge proves itself by ``secret`` (32 bytes or more). ``ports`` are ports of 127.0.0.1 that we listen at, each
    for one of the edge's services, by its name there: the URLs of the site point to them. ``addresses`` are the
    origins (``http://files.edge.example:8080``) by which the edge's items name a service: downloads and harvests from
    there go through the tunnel, too.
    """

    secret: Secret
    ports: Mapping[str, int]
    addresses: Mapping[str, str] = {}

    @property
    def ends(self) -> frozenset[str]:
        """Return our ends of the tunnel."""
        return frozenset(f"http://127.0.0.1:{port}" for port in self.ports.values())

    @property
    def detours(self) -> Mapping[str, str]:
        """Return where what the items name is reached, by origin."""
        return {told: f"http://127.0.0.1:{self.ports[service]}" for service, told in self.addresses.items()}

    def __post_init__(self) -> None:
        if not self.ports or not all(0 < port < 65_536 for port in self.ports.values()):
            raise ValueError("tunnel: ports must name services of the edge, and a port within 1 and 65535 for each")
        for service, told in self.addresses.items():
            parts = urlsplit(told)
            if service not in self.ports or parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
                raise ValueError(
                    "tunnel: addresses must name services of `ports`, and an origin as http://files.example:8080 for"
                    f" each, got {service}: {told!r}"
                )


class AccessRule(Frozen):
    """Collections that ask for a role; ``collections`` are patterns of harmonised ids (``EO.ECMWF.DAT.DT_*``).

    Who lacks the role sees ``without`` it ``nothing`` of them, or the ``metadata`` only: items, and no data.
    """

    collections: tuple[str, ...]
    role: str
    without: Literal["nothing", "metadata"] = "nothing"

    def __post_init__(self) -> None:
        if not self.role or not self.collections or not all(self.collections):
            raise ValueError("an access rule names a role, and patterns of the collections that ask for it")


class OrderSettings(Frozen):
    """What a site stages on order.

    ``timeout_seconds`` bounds one request; ``token`` is shown with orders, by default the catalogue's. ``wait_days``
    is how long an order that never ends is waited for; ``keep_days`` how long one that has ended is told of.
    ``restore``: orders restore archived objects of the site's own store (its ``storage``), at this tier of retrieval.
    """

    timeout_seconds: float = 60.0
    token: Secret | None = None
    wait_days: float = 7.0
    keep_days: float = 14.0
    restore: Literal["expedited", "standard", "bulk"] | None = None

    def __post_init__(self) -> None:
        if not (self.timeout_seconds > 0 and self.wait_days > 0 and self.keep_days > 0):
            raise ValueError("orders: timeout_seconds, wait_days and keep_days must be more than 0")


class PolitenessSettings(Frozen):
    """How a site wants to be read by harvests: all transfers of one process together keep to it.

    ``connections`` at once, ``requests_per_second``, ``bytes_per_second`` (65536 or more), at ``hours`` of the day only
    (UTC, ``22-6`` is from 22:00 to 06:00); None and nothing: as it comes.
    """

    connections: int | None = None
    requests_per_second: float | None = None
    bytes_per_second: int | None = None
    hours: str = ""

    def __post_init__(self) -> None:
        if self.connections is not None and self.connections < 1:
            raise ValueError(f"politeness: connections must be 1 or more, got {self.connections}")
        if self.requests_per_second is not None and not 0 < self.requests_per_second < _MANY:
            raise ValueError(f"politeness: requests_per_second must be more than 0, got {self.requests_per_second}")
        if self.bytes_per_second is not None and self.bytes_per_second < _SLOWEST:
            raise ValueError(f"politeness: bytes_per_second must be {_SLOWEST} or more, got {self.bytes_per_second}")
        if self.hours and not _hours(self.hours):
            raise ValueError(f"politeness: hours must be as 22-6 (two different hours of the day), got {self.hours!r}")


_MANY = 1e6
_SLOWEST = 65_536


def _hours(text: str) -> bool:
    parts = text.split("-")
    told = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 2]
    return len(told) == len(parts) == 2 and told[0] != told[1] and max(told) <= 24 and told[0] < 24


class SiteSettings(Frozen):
    """One site. An edge can compute; a hub is a catalogue only."""

    id: str
    kind: Literal["edge", "hub"]
    catalogue: CatalogueSettings
    title: str = ""
    priority: int = 100
    """Smaller is better: whose copy stands first where copies are otherwise equal."""
    labels: Mapping[str, str] = {}
    """What expressions choose it by, beside its ``id`` and ``region`` (``tier=fast``)."""
    asset_origins: tuple[str, ...] = ()
    """Private origins (``scheme://host:port``) from which its assets may be fetched; public ones need no mention."""
    folder: str = ""
    """A folder of the gateway's machine (an absolute path) from which harvests read the site's own ``file:`` addresses;
    by default they read none."""
    storage: StorageSettings | None = None
    downloads: DownloadSettings = DownloadSettings()
    dask: DaskSettings | None = None
    kernels: KernelSettings | None = None
    escrow: EscrowSettings | None = None
    tunnel: TunnelSettings | None = None
    politeness: PolitenessSettings = PolitenessSettings()
    orders: OrderSettings | None = None
    """That it takes orders for data which it has to stage first; by default it takes none."""
    access: tuple[AccessRule, ...] = ()
    """Collections that ask for a role; where several rules fit, all of their roles are needed."""
    scope_roles: bool = False
    """Whether collections may ask for roles themselves, by their member ``scope`` (``search``, ``download``)."""

    def __post_init__(self) -> None:
        if not self.id or not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.id):
            raise ValueError(f"site id {self.id!r} may hold ASCII letters, digits, '-' and '_' only")
        if self.folder and (not self.folder.startswith("/") or self.folder.strip("/") == ""):
            raise ValueError(f"site {self.id}: folder must be an absolute path below /, got {self.folder!r}")
        if self.downloads.direct is not None and self.storage is None:
            raise ValueError(f"site {self.id}: `downloads.direct` gives access to `storage`, and there is none")
        if self.orders is not None and self.orders.restore is not None and self.storage is None:
            raise ValueError(f"site {self.id}: `orders.restore` restores what is in `storage`, and there is none")
        given = self.downloads.give == "redirect" or self.downloads.direct is not None
        ends = self.tunnel.ends if self.tunnel is not None else ()
        if given and self.storage is not None and not self.downloads.public_endpoint and self.storage.endpoint in ends:
            raise ValueError(
                f"site {self.id}: addresses in its `storage` are given away, and its endpoint is one end of a tunnel;"
                " `downloads.public_endpoint` must say where others reach it"
            )
        if self.kind == "hub" and (self.dask is not None or self.kernels is not None):
            raise ValueError(f"site {self.id}: a hub is a catalogue only; `dask` and `kernels` need kind: edge")
