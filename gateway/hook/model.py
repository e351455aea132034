"""The nouns of HOOK orders. Frozen values. Pure."""

from typing import Literal

from edges.model import Frozen

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
"""The statuses of HOOK."""

ENDED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

SECRETS = frozenset({"source_password", "source_client_secret", "output_s3_access_key", "output_s3_secret_key"})
"""Options whose values are sealed while they are needed, and never told again."""

DROPPED = frozenset({"desp_source_password"})
"""Options whose values are dropped at once: the gateway knows who asks."""


class Option(Frozen):
    """One option of a workflow, as it came; of a secret one only that it came."""

    name: str
    value: str = ""
    secret: bool = False


class Catalogue(Frozen):
    """A catalogue outside that an order names, less its secrets. ``header`` carries the token."""

    url: str
    kind: Literal["STAC", "ODATA"]
    token_url: str
    grant: Literal["PASSWORD", "CLIENT_CREDENTIALS"]
    header: str = "Authorization"
    username: str = ""
    client_id: str = ""


class Bucket(Frozen):
    """A user's own bucket that an order names, less its keys. ``folder`` has no slash at either end."""

    endpoint: str
    bucket: str
    folder: str
    region: str = "us-east-1"


class Product(Frozen):
    """One product of an order. ``job`` is the harvest order that brings it, once there is one; times in epoch seconds.

    ``attempt`` counts the spellings of its identifier that were looked for. ``until`` is when its copy goes.
    """

    number: int
    reference: str
    attempt: int = 0
    job: str = ""
    status: Status = "queued"
    message: str = "queued"
    size: int | None = None
    completed: float | None = None
    until: float | None = None
    not_before: float = 0.0


class HookOrder(Frozen):
    """One order, as it is kept. ``id`` is its number as a text; ``kind`` is by which entity it was ordered.

    ``name`` is for people. ``user`` owns it, ``group`` pays. ``target`` is where harvests bring its products: a site, a
    group's bucket, or a name of its own (``~!``) where it brought keys. ``source`` is such a name (``!``) where it
    brought a catalogue. ``sealed`` are its secrets, until it has ended.
    """

    id: str
    kind: Literal["batch", "production"]
    name: str
    user: str
    group: str
    created: float
    collection: str
    target: str
    temporary: bool
    products: tuple[Product, ...]
    options: tuple[Option, ...] = ()
    priority: int | None = None
    prefix: str | None = None
    source: str = ""
    catalogue: Catalogue | None = None
    bucket: Bucket | None = None
    sealed: str = ""
    ended: float | None = None
    cancelled: bool = False

    @property
    def number(self) -> int:
        """Return its number."""
        return int(self.id)

    @property
    def owner(self) -> str:
        """Return what its secrets are sealed for."""
        return f"{self.id}/{self.user}"

    @property
    def status(self) -> Status:
        """Return how it stands: failed as soon as all has ended and one has failed."""
        states = {product.status for product in self.products}
        if states <= ENDED:
            return "failed" if "failed" in states else "cancelled" if "cancelled" in states else "completed"
        return "queued" if states <= {"queued"} else "in_progress"


class Numbers(Frozen):
    """How far numbers of orders and products have been given."""

    id: str
    last: int = 0
