"""All objects of one kind, kept up to date: listed, then watched from there on."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from edges.model import Frozen, Json
from gateway.operator.api import Event, KubernetesApi
from gateway.operator.backoff import backoff
from gateway.operator.errors import Expired, KubernetesError
from gateway.operator.resources import Resource, key_of

_log = logging.getLogger(__name__)
_FAILURES_UNTIL_LISTED = 3


class WatchTimes(Frozen):
    """In seconds: how long one watch lasts, after what silence it is taken as lost, and when all is looked at again.

    The API server sends a bookmark about once a minute where nothing else happens.
    """

    watch: int = 300
    silence: float = 90.0
    resync: float = 600.0
    longest_pause: float = 30.0


USUAL = WatchTimes()


class Informer:
    """Holds what was last read of each object, and tells the keys of those that changed.

    Guarantees: a change that happens after ``synced`` is told, however many watches are lost, since after each
    loss the watch goes on from the last version seen, and where that is forgotten (410) all are listed again and
    compared. Changes that follow each other closely may be told once.

    ``namespace`` bounds it to one; empty is all of them.
    """

    def __init__(
        self,
        *,
        api: KubernetesApi,
        resource: Resource,
        on_change: Callable[[str], None],
        namespace: str = "",
        times: WatchTimes = USUAL,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.listings = 0
        self._api = api
        self._on_change = on_change
        self._path = resource.path(namespace)
        self._times = times
        self._objects: dict[str, Json] = {}
        self._version = ""

    @property
    def objects(self) -> Mapping[str, Json]:
        """Return the objects by key. They are not to be changed."""
        return self._objects

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
                failures = 0
            except Expired:
                _log.info("the version is forgotten: list again", extra={"kind": self.resource.kind})
                self._version = ""
                failures += 1
            except KubernetesError as error:
                failures += 1
                if failures % _FAILURES_UNTIL_LISTED == 0:
                    self._version = ""  # going on from there may be what fails
                extra = {"kind": self.resource.kind, "reason": str(error)[:300], "failures": failures}
                _log.warning("not watching", extra=extra)
            if failures:
                # not a secret: spreads the operators' questions
                jitter = random.random()  # noqa: S311
                await asyncio.sleep(backoff(failures, jitter=jitter, first=0.1, longest=self._times.longest_pause))

    async def resync(self) -> None:
        """Tell all keys again and again: what was changed behind our back is brought back."""
        while True:
            await asyncio.sleep(self._times.resync)
            for key in list(self._objects):
                self._on_change(key)

    async def _list(self) -> None:
        listing = await self._api.list(self._path)
        self.listings += 1
        found = {key_of(each): each for each in listing.items}
        before, self._objects, self._version = self._objects, found, listing.version
        for key in before.keys() | found.keys():
            if _version_of(before.get(key)) != _version_of(found.get(key)):
                self._on_change(key)
        self.synced.set()

    async def _follow(self) -> None:
        times = self._times
        async for event in self._api.watch(self._path, self._version, seconds=times.watch, silence=times.silence):
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.type != "BOOKMARK":
            key = key_of(event.object)
            if event.type == "DELETED":
                self._objects.pop(key, None)
            else:
                self._objects[key] = event.object
            self._on_change(key)
        self._version = _version_of(event.object)


def _version_of(found: Json | None) -> str:
    return str(found["metadata"]["resourceVersion"]) if found is not None else ""
