"""Buckets that a process was given keys to, opened once each."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from edges.lines.lines import Lines
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store
from harvest.bucket_keys import Bucket
from harvest.seams import Place


class _Given(Secret):
    """A secret that was told, not looked up: in memory alone."""

    value: str = ""

    def __post_init__(self) -> None:
        """Name neither a file nor a variable."""

    def reveal(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return "_Given()"


@dataclass
class GivenBuckets:
    """The places that were told of; they are closed with the ``stack``."""

    stack: AsyncExitStack
    lines: Lines
    stall_seconds: float
    places: dict[str, Place] = field(default_factory=dict)

    async def learn(self, buckets: Mapping[str, Bucket]) -> None:
        """Open those that are not known yet."""
        for site, bucket in buckets.items():
            if site not in self.places:
                self.places[site] = await self._place(site, bucket)

    async def _place(self, site: str, bucket: Bucket) -> Place:
        settings = StorageSettings(
            endpoint=bucket.endpoint,
            bucket=bucket.bucket,
            region=bucket.region,
            access_key=_Given(value=bucket.access_key),
            secret_key=_Given(value=bucket.secret_key),
            connections=bucket.connections,
        )
        store = S3Store(site=site, settings=settings, lines=self.lines, stall_seconds=self.stall_seconds)
        return Place(
            site=site,
            store=await self.stack.enter_async_context(store),
            bucket=bucket.bucket,
            endpoint=bucket.endpoint,
            region=bucket.region,
        )
