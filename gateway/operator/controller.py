"""Brings what is to what is wanted, one object after the other, for one kind. Level-based: what happened is not asked.

``Kind`` says what to do; the controller does the rest for all kinds alike: finalizers, status, events, retries.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from edges.model import Frozen, Json
from gateway.operator.api import KubernetesApi
from gateway.operator.conditions import Condition, Outcome, Truth, instant, status_of, turned
from gateway.operator.errors import (
    Conflicted,
    GatewayRefused,
    KubernetesError,
    Misconfigured,
    NoLongerLeading,
    NotThere,
    OperatorError,
)
from gateway.operator.events import Recorder
from gateway.operator.informer import Informer
from gateway.operator.model import seconds_of
from gateway.operator.resources import Resource, generation_of, key_of, name_of, namespace_of
from gateway.operator.work import Work

_log = logging.getLogger(__name__)

FINALIZER = "lakegate.io/operator"
FORCE = "lakegate.io/force-release"
"""As an annotation with the value ``true``: the object may go although what it made could not be undone."""


class Kind(Protocol):
    """What to do about the objects of one kind. Each may be called again at any time, for the same object too.

    Raises :class:`Misconfigured` or :class:`GatewayRefused` where trying again does not help, another
    :class:`OperatorError` where it may.
    """

    resource: Resource

    def holds(self, found: Json) -> bool:
        """Tell whether something has to be undone before the object may go."""
        ...

    async def act(self, found: Json) -> Outcome:
        """Bring things to what the object says."""
        ...

    async def undo(self, found: Json) -> None:
        """Take back what the object brought about."""
        ...

    async def gone(self, key: str) -> None:
        """Take note that an object is no longer there."""
        ...


class ControllerTimes(Frozen):
    """In seconds: for how long an object that goes is held while undoing fails, and the first pause after a failure."""

    release: float = 600.0
    first_pause: float = 1.0


USUAL = ControllerTimes()


class Controller:
    """Works on the objects of one kind."""

    def __init__(
        self,
        *,
        kind: Kind,
        api: KubernetesApi,
        informer: Callable[[Callable[[str], None]], Informer],
        recorder: Recorder,
        times: ControllerTimes = USUAL,
    ) -> None:
        self.work = Work(first_seconds=times.first_pause)
        self.informer = informer(self.work.add)
        self._kind = kind
        self._api = api
        self._recorder = recorder
        self._times = times

    async def run(self, *, workers: int = 2) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informer.run(), name=f"watch {self._kind.resource.plural}")
            await self.informer.synced.wait()
            group.create_task(self.informer.resync(), name=f"resync {self._kind.resource.plural}")
            for number in range(workers):
                group.create_task(self._work(), name=f"reconcile {self._kind.resource.plural} {number}")

    async def _work(self) -> None:
        while True:
            async with self.work.next() as key:
                await self._attempt(key)

    async def _attempt(self, key: str) -> None:
        try:
            again = await self.reconcile(key)
        except OperatorError as error:  # also NoLongerLeading: should we lead on, nobody else tells of the key
            self._put_off(key, error)
        except Exception as error:  # noqa: BLE001 - the worker's boundary: a defect with one object must not stop the others
            _log.exception("reconciling failed", extra={"kind": self._kind.resource.kind, "key": key})
            self._put_off(key, error)
        else:
            self.work.succeeded(key)
            if again is not None:
                self.work.add(key, after=again)

    def _put_off(self, key: str, error: Exception) -> None:
        pause = self.work.failed(key)
        extra = {"kind": self._kind.resource.kind, "key": key, "reason": str(error)[:300], "pause": round(pause, 1)}
        _log.warning("put off", extra=extra)

    async def reconcile(self, key: str) -> float | None:
        """Bring one object's world to what it says; return when to look again, in seconds.

        Raises:
            OperatorError: it did not work now.
        """
        found = self.informer.objects.get(key)
        if found is None:
            await self._kind.gone(key)
            return None
        if found["metadata"].get("deletionTimestamp"):
            await self._let_go(found)
            return None
        try:
            await self._hold(found)
            outcome = await self._acted(found)
        except NotThere:
            return None  # it went meanwhile: the watch will tell
        await self._tell(found, outcome)
        return outcome.again

    async def _acted(self, found: Json) -> Outcome:
        try:
            return await self._kind.act(found)
        except Misconfigured as error:
            return _not_ready(found, error.reason, str(error))
        except GatewayRefused as error:
            return _not_ready(found, "Refused", str(error))
        except NotThere:
            raise
        except NoLongerLeading:
            raise
        except OperatorError as error:
            with suppress(NotThere):
                await self._tell(found, _not_ready(found, "Unavailable", str(error), status="Unknown"))
            raise

    async def _tell(self, found: Json, outcome: Outcome) -> None:
        """Write the status, where it is another one, and an event for each condition that turned."""
        before = found.get("status") or {}
        after = status_of(outcome, before, generation=generation_of(found), now=time.time())
        if after == before:
            return
        resource = self._kind.resource
        meta = {"name": name_of(found)} | ({"namespace": namespace_of(found)} if namespace_of(found) else {})
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "status": after}
        await self._api.apply(resource.path_of(found, "status"), body)
        for condition in turned(before, after):
            await self._recorder.record(resource, found, condition)

    # Finalizers.

    async def _hold(self, found: Json) -> None:
        """Have the object wait for us before it goes, or not."""
        finalizers = list(found["metadata"].get("finalizers") or ())
        if (FINALIZER in finalizers) is self._kind.holds(found):
            return
        if self._kind.holds(found):
            await self._change_finalizers(found, [*finalizers, FINALIZER])
        else:
            await self._change_finalizers(found, [each for each in finalizers if each != FINALIZER])

    async def _let_go(self, found: Json) -> None:
        finalizers = list(found["metadata"].get("finalizers") or ())
        if FINALIZER not in finalizers:
            return
        if self._kind.holds(found):
            await self._undo(found)
        with suppress(NotThere):
            await self._change_finalizers(found, [each for each in finalizers if each != FINALIZER])

    async def _undo(self, found: Json) -> None:
        """Undo what the object brought about; give up where it is told to, is refused, or took too long."""
        try:
            await self._kind.undo(found)
        except NoLongerLeading:
            raise
        except OperatorError as error:
            hopeless = isinstance(error, Misconfigured | GatewayRefused)
            if not (hopeless or self._overdue(found)):
                raise
            left = Condition(type="Released", status="True", reason="NotUndone", message=str(error))
            await self._recorder.record(self._kind.resource, found, _warning(left))

    def _overdue(self, found: Json) -> bool:
        meta = found["metadata"]
        forced = (meta.get("annotations") or {}).get(FORCE) == "true"
        return forced or time.time() - seconds_of(str(meta["deletionTimestamp"])) > self._times.release

    async def _change_finalizers(self, found: Json, wanted: list[str]) -> None:
        """Change the finalizers, on what is there now where the object changed since it was read."""
        resource, meta = self._kind.resource, found["metadata"]
        for _ in range(5):
            body = {"metadata": {"finalizers": wanted, "resourceVersion": meta["resourceVersion"]}}
            try:
                await self._api.merge(resource.path_of(found), body)
            except Conflicted:
                now = (await self._api.get(resource.path_of(found)))["metadata"]
                if now["uid"] != meta["uid"]:
                    raise NotThere(f"{key_of(found)} is another object by now", 404) from None
                others = [each for each in now.get("finalizers") or () if each != FINALIZER]
                wanted = [*others, FINALIZER] if FINALIZER in wanted else others
                meta = now
            else:
                return
        raise KubernetesError("the object keeps changing", 409)


def _not_ready(found: Json, reason: str, message: str, *, status: Truth = "False") -> Outcome:
    """Keep what the status told, but for Ready."""
    ready = Condition(type="Ready", status=status, reason=reason, message=message)
    before = found.get("status") or {}
    fields = {name: value for name, value in before.items() if name not in ("conditions", "observedGeneration")}
    others = [each for each in before.get("conditions") or () if each["type"] != "Ready"]
    kept = [
        msgspec.convert({name: each.get(name, "") for name in Condition.__struct_fields__}, Condition)
        for each in others
    ]
    return Outcome(conditions=(ready, *kept), fields=fields)


def _warning(condition: Condition) -> Json:
    return {**{name: getattr(condition, name) for name in Condition.__struct_fields__}, "at": instant(time.time())}
