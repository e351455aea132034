"""Buckets of users' own, as places of harvests: opened with the keys that an order brought, while the order lives."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

from edges.errors import EdgeError, SiteUnavailable
from edges.lines.lines import Lines
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store
from gateway.hook.model import HookOrder
from gateway.hook.sealing import Sealer, Unsealable
from gateway.records import RecordTable
from harvest.places import PRIVATE
from harvest.seams import Place

_log = logging.getLogger(__name__)

_OWN = f"{PRIVATE}!"
"""What the name of such a place begins with: no group's bucket is called so."""
_CONNECTIONS = 4


class BucketClosed(EdgeError):
    """The keys of a user's bucket were forgotten when their order ended."""

    status: ClassVar[int] = 410
    title: ClassVar[str] = "The keys of this bucket are no longer known"


class _Given(Secret):
    """A secret that came with a request, and stands in no configuration."""

    value: str = ""

    def reveal(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return "_Given()"


def new_place_name(order_id: str) -> str:
    """Return a name for the place of an order's own bucket, which nobody can guess."""
    return f"{_OWN}{order_id}-{secrets.token_hex(16)}"


class OwnBuckets(Mapping[str, Place]):
    """All places of harvests: the ``fixed`` ones, and users' own buckets beside them, which are never listed.

    A place whose order another gateway took in is here as soon as that is known here; until then asking for it is
    asking a store that does not answer: the work is put off.

    Raises from ``[]``:
        SiteUnavailable: the place is not open here yet.
        BucketClosed: the order has ended.
    """

    def __init__(
        self,
        *,
        fixed: Mapping[str, Place],
        orders: RecordTable[HookOrder],
        sealer: Sealer,
        lines: Lines,
    ) -> None:
        self._fixed = dict(fixed)
        self._orders = orders
        self._sealer = sealer
        self._lines = lines
        self._open: dict[str, tuple[Place, AsyncExitStack]] = {}
        self._lock = asyncio.Lock()

    def __getitem__(self, name: str) -> Place:
        place = self._known(name)
        if place is not None:
            return place
        if not name.startswith(_OWN):
            raise KeyError(name)
        order = self._orders.get(name.removeprefix(_OWN).partition("-")[0])
        if order is not None and not order.sealed:
            raise BucketClosed(f"the keys of the bucket of order {order.id} were forgotten when it ended")
        raise SiteUnavailable("the user's bucket", "it is not open here yet")

    def _known(self, name: str) -> Place | None:
        opened = self._open.get(name)
        return opened[0] if opened is not None else self._fixed.get(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._known(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._fixed)

    def __len__(self) -> int:
        return len(self._fixed)

    def get(self, name: str, default: Place | None = None) -> Place | None:  # type: ignore[override] # one kind of default
        """Return a place, or the default."""
        return self._known(name) or default

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the buckets of all orders that live; close them at the end."""
        await self.follow()
        try:
            yield
        finally:
            for name in list(self._open):
                await self.close(name)

    async def follow(self) -> None:
        """Open what orders need that others took in, and close what nobody needs any more."""
        needed = {order.target: order for order in self._orders if order.bucket is not None and order.sealed}
        for name in [name for name in self._open if name not in needed]:
            await self.close(name)
        for name in [name for name in needed if name not in self._open]:
            try:
                await self.open(needed[name])
            except Unsealable as error:
                _log.warning("a user's bucket stays closed", extra={"order": needed[name].id, "reason": str(error)})

    async def open(self, order: HookOrder) -> None:
        """Open the bucket of an order. Idempotent.

        Raises:
            Unsealable: its keys cannot be read.
        """
        if order.bucket is None:
            return
        async with self._lock:
            if order.target in self._open:
                return
            keys = self._sealer.open(order.sealed, owner=order.owner)
            settings = StorageSettings(
                endpoint=order.bucket.endpoint,
                bucket=order.bucket.bucket,
                region=order.bucket.region,
                access_key=_Given(env="-", value=keys.get("output_s3_access_key", "")),
                secret_key=_Given(env="-", value=keys.get("output_s3_secret_key", "")),
                connections=_CONNECTIONS,
            )
            stack = AsyncExitStack()
            store = S3Store(site="the user's bucket", settings=settings, lines=self._lines)
            place = Place(
                site=order.target,
                store=await stack.enter_async_context(store),
                bucket=order.bucket.bucket,
                endpoint=order.bucket.endpoint,
                region=order.bucket.region,
                owner=order.group,
                folder=order.bucket.folder,
            )
            self._open[order.target] = (place, stack)

    async def close(self, name: str) -> None:
        """Close a bucket and forget its keys. Idempotent."""
        opened = self._open.pop(name, None)
        if opened is not None:
            await opened[1].aclose()
