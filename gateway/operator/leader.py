"""Who of several operators leads: the holder of a Lease (coordination.k8s.io/v1).

A holder that does not renew loses it. Clocks are not compared: each watches by its own clock for how long the lease
did not change. The holder stops before the others may take over, since its deadline is the shorter one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from edges.model import Frozen, Json
from gateway.operator.api import KubernetesApi
from gateway.operator.conditions import micro_instant
from gateway.operator.errors import Conflicted, KubernetesError, NoLongerLeading, NotThere
from gateway.operator.resources import LEASES

_log = logging.getLogger(__name__)


class LeaseTimes(Frozen):
    """In seconds: how long a lease lasts, until when its holder must have renewed it, and how often it tries."""

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.deadline < self.lease:
            raise ValueError("a lease needs retry < deadline < lease, all above 0")


USUAL = LeaseTimes()


class Leadership:
    """One candidate, by name; ``fence`` grows each time that the lease changes hands."""

    def __init__(
        self, *, api: KubernetesApi, namespace: str, name: str, identity: str, times: LeaseTimes = USUAL
    ) -> None:
        self.identity = identity
        self.fence = 0
        self.led = asyncio.Event()
        self._api = api
        self._path = LEASES.path(namespace, name)
        self._collection = LEASES.path(namespace)
        self._meta = {"name": name, "namespace": namespace}
        self._times = times
        self._renewed = float("-inf")
        self._seen: tuple[Json, float] = ({}, 0.0)

    @property
    def leading(self) -> bool:
        """Tell whether nobody else can be leading now."""
        return time.monotonic() - self._renewed < self._times.deadline

    def check(self) -> None:
        """Check that we lead.

        Raises:
            NoLongerLeading: another may lead by now.
        """
        if not self.leading:
            raise NoLongerLeading(f"{self.identity} does not hold the lease")

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` while we lead, again each time that we come to lead; for ever.

        What runs is cancelled where the lease is lost; the lease is given back where we are cancelled.
        """
        while True:
            await self._acquire()
            _log.info("leading", extra={"identity": self.identity, "fence": self.fence})
            task = asyncio.create_task(work(), name="lead")
            self.led.set()
            try:
                await self._hold(task)
            finally:
                self.led.clear()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self._release()
            _log.warning("no longer leading", extra={"identity": self.identity})

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110 - what we wait for happens at the API server
            await asyncio.sleep(self._times.retry)

    async def _hold(self, task: "asyncio.Task[None]") -> None:
        while self.leading:
            await asyncio.wait([task], timeout=self._times.retry)
            if task.done():
                task.result()  # it does not end by itself, unless by a defect, which ends the operator
                return
            if self.leading:  # a lapse ends it, though the lease may still be ours: what was to be written was refused
                await self._try()

    async def _try(self) -> bool:
        """Take the lease, or renew it; tell whether we hold it."""
        asked = time.monotonic()
        left = self._renewed + self._times.deadline - asked if self.leading else self._times.deadline
        try:
            async with asyncio.timeout(max(left, 0.05)):
                taken = await self._take()
        except (KubernetesError, TimeoutError) as error:
            extra = {"identity": self.identity, "reason": str(error)[:300] or type(error).__name__}
            _log.warning("the lease was not renewed", extra=extra)
            return False
        if taken:
            self._renewed = asked
        return taken

    async def _take(self) -> bool:
        try:
            lease = await self._api.get(self._path)
        except NotThere:
            fresh = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": self._meta}
            return await self._write(self._api.create, self._collection, fresh | {"spec": self._spec({}, own=False)})
        spec = lease.get("spec") or {}
        own = spec.get("holderIdentity") == self.identity
        if not own and self._held(spec):
            return False
        return await self._write(self._api.replace, self._path, lease | {"spec": self._spec(spec, own=own)})

    async def _write(self, write: Callable[[str, Json], Coroutine[Any, Any, Json]], path: str, lease: Json) -> bool:
        try:
            await write(path, lease)
        except Conflicted:
            return False
        self.fence = int(lease["spec"]["leaseTransitions"])
        return True

    def _held(self, spec: Json) -> bool:
        """Tell whether another holds it: it changed within the time that it says it lasts."""
        before, since = self._seen
        if before != spec:
            self._seen = (spec, time.monotonic())
            since = self._seen[1]
        lasts = float(spec.get("leaseDurationSeconds") or self._times.lease)
        return bool(spec.get("holderIdentity")) and time.monotonic() - since < lasts

    def _spec(self, before: Json, *, own: bool) -> Json:
        now = micro_instant(time.time())
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._times.lease)),
            "acquireTime": before.get("acquireTime", now) if own else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if own else 1),
        }

    async def _release(self) -> None:
        """Give the lease back, so that another need not wait until it is over."""
        held, self._renewed = self.leading, float("-inf")
        if not held:
            return
        try:
            lease = await self._api.get(self._path)
            if lease["spec"].get("holderIdentity") == self.identity:
                await self._api.replace(self._path, lease | {"spec": lease["spec"] | {"holderIdentity": ""}})
        except KubernetesError as error:
            _log.info("the lease was not given back", extra={"reason": str(error)[:300]})
