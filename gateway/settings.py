"""The one configuration file: typed groups, each field with its unit and reason; a component gets its own only."""

from collections.abc import Mapping
from typing import Literal

from edges.model import Dedup, Frozen
from edges.settings import CatalogueSettings, Secret, SiteSettings, StorageSettings
from harvest.settings import HarvestSettings
from quotas.model import Policy, is_group


class ServerSettings(Frozen):
    """Where the gateway listens. ``public_url`` is what links are built from, never a request's Host header.

    ``state`` is the folder of the gateway's databases. At SIGTERM it says for ``drain_seconds`` that it is not ready,
    and then gives the requests under way ``shutdown_seconds``. With ``tls_certificate`` and ``tls_key`` (PEM files)
    the port takes HTTPS as well as HTTP, beside the TLS comms of clusters.
    """

    host: str = "127.0.0.1"
    port: int = 8400
    tls_certificate: str = ""
    tls_key: str = ""
    public_url: str = ""
    state: str = "lakegate-state"
    shutdown_seconds: float = 10.0
    drain_seconds: float = 0.0
    access_log: bool = False


class ApiTokenSettings(Frozen):
    """A static API token of one user: the configuration names the file or variable that holds it.

    ``roles`` are those that collections may ask for.
    """

    user: str
    token: Secret
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin: bool = False
    roles: tuple[str, ...] = ()


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""How issuers sign (RFC 7518, RFC 8037): with a private key only, so that nobody who can check can also sign."""


class IssuerSettings(Frozen):
    """An OpenID Connect provider whose access tokens are believed; ``name`` is ours, ``issuer`` its exact ``iss``.

    ``audiences``: a token names one of them. ``clients``: it was given to one of them (``azp``, ``client_id``);
    none is any. ``user_claim`` and ``groups_claim`` are paths into the claims (``realm_access.roles``).
    ``user_prefix`` keeps the users of two issuers apart. A value of the groups claim becomes the path that
    ``group_map`` names for it, else ``group_prefix`` and itself (unless ``only_mapped``); ``groups`` are for all
    its users. ``roles_claim`` is the path to the roles that collections may ask for. ``scope_map``: scopes of the
    token that restrict it to some of ours; one that has none of them may read only. ``leeway_seconds`` is how far its
    clock may be off. ``keys_seconds`` is how long its keys are kept before they are asked for again,
    ``stale_seconds`` how long they count while it does not answer.
    ``client_id`` signs browsers in, for ``session_seconds``, asking for ``login_scopes``.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    clients: tuple[str, ...] = ()
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    user_claim: str = "sub"
    user_prefix: str = ""
    groups_claim: str = "groups"
    roles_claim: str = "realm_access.roles"
    group_prefix: str = ""
    group_map: Mapping[str, str] = {}
    only_mapped: bool = False
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin_groups: tuple[str, ...] = ()
    scope_map: Mapping[str, Literal["read", "compute", "harvest", "admin"]] = {}
    leeway_seconds: float = 30.0
    keys_seconds: float = 600.0
    stale_seconds: float = 3600.0
    timeout_seconds: float = 5.0
    client_id: str = ""
    client_secret: Secret | None = None
    login_scopes: tuple[str, ...] = ("openid",)
    session_seconds: float = 3600.0

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.replace("-", "").isalnum()):
            raise ValueError(f"issuer {self.name!r}: a name may hold ASCII letters, digits and '-' only")
        if not self.issuer.startswith(("https://", "http://")) or "?" in self.issuer or "#" in self.issuer:
            raise ValueError(f"issuer {self.name}: {self.issuer!r} is no http(s) URL without query and fragment")
        if not self.audiences or not all(self.audiences):
            raise ValueError(f"issuer {self.name}: audiences must name at least one: tokens for others are refused")
        if not 0 <= self.leeway_seconds <= 60:
            raise ValueError(f"issuer {self.name}: leeway_seconds must be within 0 and 60, got {self.leeway_seconds}")


_LONGEST_OWN_DAYS = 366


class AuthSettings(Frozen):
    """Who may come in. ``anonymous`` may search (``read``) or nothing (``none``).

    ``issuers`` are OpenID Connect providers. Users of two of them are the same only where an operator says so, by
    giving both the same ``user_prefix``, which must not be left empty then.
    ``signing_key`` authenticates page cursors and cookies; by default one is made and kept in the state folder. Page
    cursors that were signed with one of the ``former_signing_keys`` are read as well, so that a key can be changed.
    ``own_token_days`` is how long API tokens live at most that users make for themselves; 0: they make none.
    ``open_roles`` are those that everybody has, of the roles that collections ask for (``hda-public-data-access``).
    """

    anonymous: Literal["read", "none"] = "read"
    anonymous_group: str = "anonymous"
    tokens: tuple[ApiTokenSettings, ...] = ()
    issuers: tuple[IssuerSettings, ...] = ()
    signing_key: Secret | None = None
    former_signing_keys: tuple[Secret, ...] = ()
    own_token_days: float = 90.0
    open_roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.own_token_days <= _LONGEST_OWN_DAYS:
            raise ValueError(f"own_token_days must be within 0 and {_LONGEST_OWN_DAYS}, got {self.own_token_days}")
        for what in ("name", "issuer"):
            told = [getattr(issuer, what) for issuer in self.issuers]
            if len(set(told)) < len(told):
                raise ValueError(f"issuers: two have the same {what}")
        if sum(not issuer.user_prefix for issuer in self.issuers) > 1:
            raise ValueError("issuers: of several only one may be without a user_prefix, else their users would mix")


class QuotaSettings(Frozen):
    """The policies, and how long a reservation lives without renewal, in seconds.

    ``database`` is the URI of a PostgreSQL database for several gateways; by default the ledger is a file in the
    state folder, for one. ``database_schema`` is the schema in it that the ledger makes and owns.
    ``history_days`` is how long the history of what was reserved and used is kept, at least as long as a window counts.
    """

    policies: tuple[Policy, ...] = ()
    lease_seconds: float = 60.0
    database: Secret | None = None
    database_schema: str = "lakegate_quotas"
    history_days: float = 400.0

    def __post_init__(self) -> None:
        if not self.history_days > 0:
            raise ValueError(f"quotas: history_days must be more than 0, got {self.history_days}")


class LimitSettings(Frozen):
    """Bounds on what one client may ask for: hostile or careless, the others must not notice.

    ``default_dedup`` is the rung of the identity ladder up to which copies of one scene are given once.
    ``body_seconds`` is how long a request's body may take to arrive.
    ``deadline_seconds`` bounds a whole search. ``probe_seconds`` is how often sites are asked how they are. At most
    ``exports`` run at once; ``export_bytes`` of items at most (as NDJSON) are made into one GeoParquet file. An
    aggregation looks at ``aggregate_items`` here, where sites cannot count; beyond it tells of lower bounds. Of two
    sites that share a collection ``audit_items`` are compared, to see whether copies are told alike.
    """

    page_items: int = 1_000
    default_page_items: int = 10
    default_dedup: Dedup = "replica"
    body_bytes: int = 1 << 20
    body_seconds: float = 30.0
    deadline_seconds: float = 30.0
    probe_seconds: float = 15.0
    cursor_seconds: float = 24 * 3600.0
    exports: int = 8
    export_bytes: int = 4 << 30
    aggregate_items: int = 20_000
    audit_items: int = 20


class HdaService(Frozen):
    """A service that is offered beside the data: ``describes`` are its own addresses, ``describedby`` its documents."""

    id: str
    title: str = ""
    description: str = ""
    describes: tuple[str, ...] = ()
    describedby: tuple[str, ...] = ()
    thumbnail: str = ""


class HdaSettings(Frozen):
    """The face that clients of the Destination Earth Data Lake (HDA) and of EODAG speak to, under ``/stac/v2``.

    ``compatible``: members of a search that nobody knows are passed over, and known ones taken in any case (``BBox``);
    else they are refused. ``backends`` are the names by which clients call sites (``cop_cds``), each with the site's
    id. ``services`` are told beside what the gateway offers by itself; one of the same id stands in its place.
    ``absorb_seconds``: so long a request above a policy's rate waits for its turn, there and at downloads, rather than
    being refused; 0: only where the policy says ``queue``.
    """

    compatible: bool = False
    absorb_seconds: float = 10.0
    backends: Mapping[str, str] = {}
    services: tuple[HdaService, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.absorb_seconds <= _LONGEST_ABSORBED:
            raise ValueError(f"hda: absorb_seconds must be 0 to {_LONGEST_ABSORBED}, not {self.absorb_seconds}")


_LONGEST_ABSORBED = 30.0
"""Seconds that a request waits at most; longer than that clients, and what stands before the gateway, give up."""


class DataSettings(Frozen):
    """Downloads through the gateway. ``anonymous``: whether they need no named user.

    ``per_user`` downloads of one user run at once. A client that takes nothing for ``stall_seconds`` is dropped, and
    so is a site that gives nothing; and a client that over five times as long takes less than ``least_rate`` bytes a
    second. Where an item's data is, is looked up once and kept for ``item_seconds``, of at
    most ``items``. ``signed_urls`` are given at most in one answer, for access beside the gateway.
    """

    anonymous: bool = False
    per_user: int = 64
    stall_seconds: float = 60.0
    least_rate: int = 10_000
    item_seconds: float = 300.0
    items: int = 2_000
    signed_urls: int = 1_000


class ComputeSettings(Frozen):
    """Clusters and kernels: caps per cluster and how often leases are reconciled with the edges' word, in seconds.

    ``cluster_memory`` and ``max_kernel_message`` are in bytes. A cluster for which there is no room now waits for
    ``queue_seconds`` at most. ``moving_rate`` and ``recall_rate`` (bytes a second) are what placement reckons with for
    data from other sites, and from tape. ``dashboard_url`` is where the clusters' dashboards are served, another host
    name than the gateway's: what runs in them can then do nothing in the gateway's name.
    """

    cluster_cores: float = 4.0
    cluster_memory: int = 4 << 30
    reconcile_seconds: float = 5.0
    max_kernel_message: int = 64 << 20
    queue_seconds: float = 3600.0
    moving_rate: float = 100e6
    recall_rate: float = 20e6
    dashboard_url: str = ""


class TreeSettings(Frozen):
    """A bucket with trees of user-generated data, each a collection: ``<prefix><collection>/metadata/...``.

    Members of ``group`` may have them read into collections, by the tree's ``name``. Relative addresses of assets
    become those below ``address``, by default ``s3://<bucket>/``. ``storage`` is only read. ``data``: who sees a
    collection may also download what lies in its folder, by the keys of ``storage``.
    """

    name: str
    group: str
    storage: StorageSettings
    prefix: str = ""
    address: str = ""
    data: bool = False

    def __post_init__(self) -> None:
        if not is_group(self.group):
            raise ValueError(f"tree {self.name}: group {self.group!r} is no path such as 'root/org/team'")
        if self.prefix and not self.prefix.endswith("/"):
            raise ValueError(f"tree {self.name}: prefix {self.prefix!r} must end with '/'")
        if self.address and not self.address.endswith("/"):
            raise ValueError(f"tree {self.name}: address {self.address!r} must end with '/'")


class ContributedSettings(Frozen):
    """Collections of users' own.

    ``site`` is the id of the site that holds them, and nothing else; without one there are none. It is a new one, kept
    in the state folder, or, for several gateways, one of ``sites`` that has a ``write_token``. ``role`` is needed to
    make collections (by default none is), ``public_role`` to make them public (by default only administrators can).
    A user may own ``per_user`` of them. ``body_bytes`` bounds the body of one request, ``bulk_bytes`` that of a bulk
    load, as decoded. ``trees`` are buckets that collections are read from.
    """

    site: str = ""
    title: str = "Users' collections"
    role: str = ""
    public_role: str = ""
    per_user: int = 1_000
    body_bytes: int = 16 << 20
    bulk_bytes: int = 4 << 30
    trees: tuple[TreeSettings, ...] = ()

    def __post_init__(self) -> None:
        names = [tree.name for tree in self.trees]
        if len(set(names)) < len(names):
            raise ValueError("contributed: two trees have the same name")


class TracingSettings(Frozen):
    """OpenTelemetry: spans of requests, of what is asked of sites, and of the ledger. Needs the extra ``tracing``.

    ``endpoint`` is the URL of a collector that takes OTLP over HTTP (``http://collector:4318/v1/traces``); without one
    there is none. ``share`` of the requests are recorded (0 to 1), and those whose ``traceparent`` says so.
    ``headers`` go with what is sent. Sent every ``every_seconds``; at most ``queue_spans`` wait, others are dropped.
    """

    endpoint: str = ""
    share: float = 0.1
    service: str = "lakegate"
    headers: Mapping[str, Secret] = {}
    every_seconds: float = 5.0
    timeout_seconds: float = 10.0
    queue_spans: int = 2_048

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("tracing: share is a part, from 0 to 1")
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("tracing: endpoint is a URL such as http://collector:4318/v1/traces")


class Settings(Frozen):
    """The root of the configuration file.

    ``sites_from`` names further files, each a YAML list of sites: those that the operator writes from custom
    resources. One that is not there has none; a site of the same id as another is left out, the first one stays.
    """

    sites: tuple[SiteSettings, ...] = ()
    sites_from: tuple[str, ...] = ()
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    quotas: QuotaSettings = QuotaSettings()
    harvest: HarvestSettings = HarvestSettings()
    compute: ComputeSettings = ComputeSettings()
    data: DataSettings = DataSettings()
    limits: LimitSettings = LimitSettings()
    hda: HdaSettings = HdaSettings()
    contributed: ContributedSettings = ContributedSettings()
    tracing: TracingSettings = TracingSettings()

    def __post_init__(self) -> None:
        self._check_contributed()
        ids = [site.id for site in self.sites]
        for site_id in ids:
            if ids.count(site_id) > 1:
                raise ValueError(f"site id {site_id!r} is used twice")

    def _check_contributed(self) -> None:
        name = self.contributed.site
        site = next((each for each in self.sites if each.id == name), None)
        if not name:
            return
        if site is None:
            if self.quotas.database is not None:
                raise ValueError(
                    "contributed: where several gateways share a database, `site` must be one of `sites`, which all of "
                    "them write to; each would keep collections of its own"
                )
            SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url="http://contributed.invalid"))
        elif site.catalogue.write_token is None or site.catalogue.profile or site.catalogue.collections:
            raise ValueError(f"contributed: site {name} needs a write_token, and ids as they are: no profile")
        elif site.storage is not None or site.downloads.credentials is not None:
            raise ValueError(
                f"contributed: site {name} has storage or credentials: what they read would be anybody's who names it"
            )
