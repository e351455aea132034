"""One writer thread that commits what many tasks ask for together: one disk flush for all that wait."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from quotas.errors import LedgerUnavailable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_BATCH = 1_024
"""Operations per transaction: bounds how long the first of them waits for the last."""

CLOSE_SECONDS = 30.0
"""How long a store may take to write what is waiting when it is closed."""


class Job(Generic[Result]):
    """An operation on its way: what to do, and where its outcome goes.

    ``fresh`` tells that its keys were most likely never used before.
    """

    __slots__ = ("error", "fresh", "future", "keys", "result", "run")

    def __init__(
        self,
        keys: tuple[str, ...],
        run: Callable[[float], Result],
        future: asyncio.Future[Result],
        *,
        fresh: bool = False,
    ) -> None:
        self.keys = keys
        self.fresh = fresh
        self.run = run
        self.future = future
        self.result: Result | None = None
        self.error: BaseException | None = None


AnyJob = Job[Any]


class BatchStore(Protocol):
    """A store that applies operations in batches. All calls come from one thread."""

    def open(self) -> None:
        """Open; raise if the store cannot be used."""
        ...

    def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run all jobs and make them durable, then return; each job gets its ``result`` or its ``error``."""
        ...

    def close(self) -> None:
        """Close."""
        ...


class GroupCommit:
    """The writer thread of a store, as an async context manager.

    A job whose caller has gone before it began is not run. Results are told after they are durable.
    """

    def __init__(self, store: BatchStore, name: str) -> None:
        self._store = store
        self._name = name
        self._jobs: queue.SimpleQueue[AnyJob | None] = queue.SimpleQueue()
        self._running = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._main, args=(opened,), name=self._name, daemon=True).start()
        await opened
        self._running = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._running = False
        self._jobs.put(None)
        await asyncio.wait_for(asyncio.shield(self._ended), CLOSE_SECONDS)

    async def call(self, keys: tuple[str, ...], run: Callable[[float], Result]) -> Result:
        """Have ``run`` called in the writer thread, with the time; return its result when it is durable.

        ``keys`` are what the store must know about before.

        Raises:
            LedgerUnavailable: the store is closed, or could not write.
        """
        if not self._running:
            raise LedgerUnavailable("the ledger is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(Job(keys, run, future))
        return await future

    def _main(self, opened: "asyncio.Future[None]") -> None:
        try:
            self._store.open()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: it goes to whoever opens
            self._tell(_fail, opened, error)
            return
        self._tell(_succeed, opened)
        try:
            while self._turn():
                pass
        finally:
            self._store.close()
            self._tell(_succeed, self._ended)

    def _turn(self) -> bool:
        """Apply one batch; tell whether to go on."""
        first = self._jobs.get()
        if first is None:
            return False
        batch = [first]
        going = self._drain(batch)
        wanted = [job for job in batch if not job.future.cancelled()]
        try:
            self._store.apply(wanted)
        except Exception as error:  # the thread's boundary: a defect ends the batch, not the ledger
            logger.exception("the ledger failed", extra={"jobs": len(wanted)})
            for job in wanted:
                job.error = LedgerUnavailable(f"the ledger failed: {error}")
        self._tell(deliver, wanted)
        return going

    def _drain(self, batch: list[AnyJob]) -> bool:
        while len(batch) < MAX_BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return False
            batch.append(job)
        return True

    def _tell(self, act: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(act, *args)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            logger.warning("the event loop ended before the ledger")


def deliver(jobs: Sequence[AnyJob]) -> None:
    """Give each job's caller its result or its error."""
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _succeed(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: "asyncio.Future[None]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
