"""What harvest asks of the rest of the house: narrow Protocols, and the places that it reads and writes."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from edges.downloads.ways import Way
from edges.lines.lines import Lines
from edges.model import Json, Part, Query
from edges.request_ids import knowing, read_traced
from edges.seams import ObjectStore, WritableCatalogue
from edges.settings import PolitenessSettings
from harvest.admission_ledger import HarvestLedger
from harvest.bucket_keys import Bucket
from harvest.files import Folder
from harvest.model import FoundItem, Order, Results


class Search(Protocol):
    """The federated search, as a walk over everything that matches.

    Guarantees: the walk ends; items come as plain decoded JSON in harmonised words; it raises where a site
    that matters did not answer, rather than leaving items out in silence.
    """

    def __call__(self, query: Query) -> AsyncIterator[FoundItem]:
        """Walk over all items that match; ``query.limit`` is the page size only."""
        ...


class Describe(Protocol):
    """Where to learn what a collection is, to make it known at the target."""

    async def __call__(self, collection: str) -> Json | None:
        """Return the STAC Collection, or None."""
        ...


class TargetStore(ObjectStore, Protocol):
    """A bucket to write to, which can be asked not to replace what is there."""

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part], *, if_absent: bool = False) -> str:
        """Make the object visible; return its ETag.

        With ``if_absent``, raise :class:`edges.errors.Conflict` where an object is there already, if the
        service can tell.
        """
        ...


class Checkpoint(Protocol):
    """Told of each write that has just been made, by its name; tests end the process here."""

    def __call__(self, name: str) -> None:
        """Take note."""
        ...


def unobserved(name: str) -> None:
    """Take note of nothing: the checkpoint of everyday runs."""


class Recorded(Protocol):
    """What a piece of work is known by, in logs and at the sites that are asked for it, and who is told of it."""

    def __call__(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Callable[[str], None]]:
        """Return the context of a piece of work; what it yields is told in a word how the work ended."""
        ...


def _untold(ending: str) -> None:
    """Take note of nothing."""


@contextmanager
def unrecorded(name: str, attributes: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """Give a piece of work ids of its own, and tell nobody."""
    with knowing(read_traced({})):
        yield _untold


@dataclass(frozen=True, kw_only=True)
class Place:
    """A site's bucket, and its catalogue where copies can be registered (``None``: it can be read from only).

    ``endpoint`` and ``region`` are told to readers of the copies (STAC Storage extension); no secrets.
    ``labels`` are what expressions go by (``region=eu-central``). ``owner`` is the group whose own bucket it is:
    its copies are in no catalogue, and cost no storage of ours. ``folder`` is where in the bucket copies go, each item
    in a folder of its own; None: by group and prefix.
    """

    site: str
    store: TargetStore
    bucket: str
    endpoint: str
    region: str
    catalogue: WritableCatalogue | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    folder: str | None = None

    @property
    def takes_copies(self) -> bool:
        """Whether harvests may write here."""
        return self.catalogue is not None or bool(self.owner)

    def key_of(self, href: str) -> str | None:
        """Return the key of an object of this bucket by its address, as it stands; None for other addresses."""
        root = f"s3://{self.bucket}/"
        return href[len(root) :] if href.startswith(root) else None


class Authorize(Protocol):
    """How sources are asked that want to know who asks."""

    async def __call__(self, site: str, url: str) -> Mapping[str, str]:
        """Return the headers to send to a URL, in the name of the source ``site``; none where it is nobody's business.

        Raises :class:`edges.errors.EdgeError` where there should be some and they cannot be had.
        """
        ...


async def unauthorized(site: str, url: str) -> Mapping[str, str]:
    """Show nobody anything: the sources of everyday harvests are open."""
    return {}


def _status_only(kind: str, order: Order, results: Results | None) -> Json:
    return {"jobID": order.id, "state": order.state, "message": order.message}


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """How events are told: our own URL as their source, the keys that sign them, by name, and the callbacks' bodies.

    The key named by an empty text signs what names none. A callback's body is made of its name, the order, and its
    first results where it has any.
    """

    source: str = "urn:lakegate"
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    callbacks: Callable[[str, Order, Results | None], Json] = _status_only


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What processes beside this one are told.

    ``buckets`` gives the keys to a site's bucket (None: they are told to nobody), ``allowed`` are private addresses
    that may be called.
    """

    buckets: Callable[[str], Bucket | None]
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class World:
    """All that harvests need of the rest of the house.

    ``places`` are the sites' buckets; those with a catalogue can be targets. ``lines`` fetch from
    sources, ``session`` tells webhooks, and ``check`` raises :class:`edges.errors.DestinationRefused` for an address
    that must not be called. ``authorize`` gives the headers that a source wants.
    ``politeness`` is how sites want to be read, by name, and ``origins`` (``scheme://host:port``) whose they are;
    ``ways`` are how those are asked that want credentials, and ``folders`` where the files are that a site names by
    ``file:``. ``recorded`` is the context of each object's work. ``beside`` is what further processes are told; None:
    there are none.
    """

    search: Search
    describe: Describe
    places: Mapping[str, Place]
    ledger: HarvestLedger
    session: aiohttp.ClientSession
    lines: Lines
    check: Callable[[str], None]
    webhooks: Webhooks = field(default_factory=Webhooks)
    authorize: Authorize = unauthorized
    politeness: Mapping[str, PolitenessSettings] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    ways: Mapping[str, Way] = field(default_factory=dict)
    folders: Mapping[str, Folder] = field(default_factory=dict)
    recorded: Recorded = unrecorded
    beside: Beside | None = None
