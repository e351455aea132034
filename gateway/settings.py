"""The one configuration file: typed groups, each field with its unit and reason; a component gets its own only."""

from typing import Literal

from edges.model import Frozen
from edges.settings import Secret, SiteSettings
from harvest.settings import HarvestSettings
from quotas.model import Policy


class ServerSettings(Frozen):
    """Where the gateway listens. ``public_url`` is what links are built from, never a request's Host header.

    ``state`` is the folder of the gateway's databases.
    """

    host: str = "127.0.0.1"
    port: int = 8400
    public_url: str = ""
    state: str = "lakegate-state"
    shutdown_seconds: float = 10.0


class ApiTokenSettings(Frozen):
    """A static API token of one user: the configuration names the file or variable that holds it."""

    user: str
    token: Secret
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin: bool = False


class AuthSettings(Frozen):
    """Who may come in. ``anonymous`` may search (``read``) or nothing (``none``).

    ``signing_key`` authenticates page cursors and cookies; by default one is made and kept in the state folder.
    """

    anonymous: Literal["read", "none"] = "read"
    anonymous_group: str = "anonymous"
    tokens: tuple[ApiTokenSettings, ...] = ()
    signing_key: Secret | None = None


class QuotaSettings(Frozen):
    """The policies, and how long a reservation lives without renewal, in seconds."""

    policies: tuple[Policy, ...] = ()
    lease_seconds: float = 60.0


class LimitSettings(Frozen):
    """Bounds on what one client may ask for: hostile or careless, the others must not notice.

    ``deadline_seconds`` bounds a whole search. ``probe_seconds`` is how often sites are asked how they are.
    """

    page_items: int = 1_000
    default_page_items: int = 10
    body_bytes: int = 1 << 20
    deadline_seconds: float = 30.0
    probe_seconds: float = 15.0
    cursor_seconds: float = 24 * 3600.0


class ComputeSettings(Frozen):
    """Clusters and kernels: caps per cluster and how often leases are reconciled with the edges' word, in seconds."""

    cluster_cores: float = 4.0
    cluster_memory: int = 4 << 30
    reconcile_seconds: float = 5.0
    max_kernel_message: int = 64 << 20


class Settings(Frozen):
    """The root of the configuration file."""

    sites: tuple[SiteSettings, ...] = ()
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    quotas: QuotaSettings = QuotaSettings()
    harvest: HarvestSettings = HarvestSettings()
    compute: ComputeSettings = ComputeSettings()
    limits: LimitSettings = LimitSettings()

    def __post_init__(self) -> None:
        ids = [site.id for site in self.sites]
        for site_id in ids:
            if ids.count(site_id) > 1:
                raise ValueError(f"site id {site_id!r} is used twice")
