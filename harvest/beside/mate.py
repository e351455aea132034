"""One process beside this one: what it has in hand, what it is told, and what it tells."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from edges.request_ids import travelling_headers
from harvest.beside.clerk import Clerk
from harvest.beside.starting import Started
from harvest.beside.tellers import failure
from harvest.beside.wire import Answered, Down, Ended, Given, Key, Noted, Up
from harvest.bucket_keys import Bucket
from harvest.claims import ObjectClaim
from harvest.desk_wire import Terms
from harvest.errors import HarvestError
from harvest.settling import Ending

logger = logging.getLogger(__name__)

_UP = msgspec.msgpack.Decoder(Up)

START_SECONDS = 60.0
"""How long a process may take to begin."""

LEAVE_SECONDS = 2.0
"""How long a process may take to end by itself once its socket is closed."""


class ProcessGone(HarvestError):
    """The process that carried an object has ended: what it did last is not known."""

    status = 503
    title = "The process that carried an object has ended"


class _Work(NamedTuple):
    claim: ObjectClaim
    ended: "asyncio.Future[Ending]"


class Mate:
    """A process that was started; :meth:`listen` as long as it lives, then :meth:`leave`.

    ``patience`` seconds without a word, where it was asked, are its end: it hangs.
    """

    def __init__(self, started: Started, *, clerk: Clerk, terms: Terms, patience: float) -> None:
        self._pipe = started.pipe
        self._process = started.process
        self._clerk = clerk
        self._patience = patience
        self._hand: dict[Key, _Work] = {}
        self._claims: dict[Key, ObjectClaim] = {}
        self._known: set[str] = set()
        self._given: list[Given] = []
        self._dropped: list[Key] = []
        self._answers: list[Answered] = []
        self._keys: dict[str, Bucket] = {}
        self._sending = False
        self._gone = False
        self._silent = False
        self.carried = 0
        self.dismissed = False
        self._pipe.send(Down(terms=terms))

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    @property
    def in_hand(self) -> int:
        """Return how many objects it has in hand."""
        return len(self._hand)

    async def settle(self, claim: ObjectClaim, keys: Mapping[str, Bucket]) -> Ending:
        """Let it carry out a claim, for which it needs the ``keys``.

        Raises:
            ProcessGone: it has ended.
            ClaimLost, DatabaseUnavailable, HarvestError: as :meth:`harvest.settling.Settles.settle`.
        """
        if self._gone:
            raise ProcessGone(f"process {self.pid} has ended")
        key = claim.id, claim.fence
        ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._hand[key] = _Work(claim, ended)
        self._claims[key] = claim
        self._keys |= {site: bucket for site, bucket in keys.items() if site not in self._known}
        self._given.append(Given(claim=claim, known=travelling_headers()))
        self._soon()
        try:
            return await ended
        finally:
            if self._hand.pop(key, None) is not None and not self._gone:  # given up: it has told no end
                self._dropped.append(key)
                self._soon()
            self._claims.pop(key, None)

    async def ready(self) -> bool:
        """Wait until it has begun; tell False where it does not."""
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._pipe.receive() is not None
        except TimeoutError:
            return False

    async def listen(self) -> None:
        """Write down what it tells, until it has ended; what it had in hand then is told so."""
        watching = asyncio.create_task(self._watch(), name="harvest-mate-watch")
        try:
            while (frame := await self._pipe.receive()) is not None:
                self._silent = False
                self._heard(_UP.decode(frame))
        except msgspec.DecodeError as error:
            logger.warning("a process that carries is not understood", extra={"pid": self.pid, "error": str(error)})
        finally:
            watching.cancel()
            self._end()

    def dismiss(self) -> None:
        """Let it end: it has nothing in hand."""
        self.dismissed = True
        self._end()

    async def leave(self) -> None:
        """Let the process end, and wait for it: by force where it does not."""
        self._end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._process.wait()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _end(self) -> None:
        self._gone = True
        self._pipe.close()
        for work in self._hand.values():
            if not work.ended.done():
                work.ended.set_exception(ProcessGone(f"process {self.pid}, which carried it, has ended"))

    async def _watch(self) -> None:
        """End the process where it says nothing for too long."""
        while True:
            self._silent = True
            self._pipe.send(Down(asked=True))
            await asyncio.sleep(self._patience)
            if self._silent:
                logger.warning("a process that carries hangs", extra={"pid": self.pid})
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                self._pipe.close()
                return

    def _heard(self, up: Up) -> None:
        for noted in up.noted:
            _log(noted)
        for ended in up.ended:
            self._ended(ended)
        if up.acts:
            self._clerk.write(up.acts, self._claims, self._answer)

    def _ended(self, ended: Ended) -> None:
        work = self._hand.pop(ended.key, None)
        if work is None or work.ended.done():
            return
        self.carried += 1
        if ended.failed:
            work.ended.set_exception(failure(ended.failed, ended.reason))
        else:
            work.ended.set_result(ended.ending)

    def _answer(self, answers: Sequence[Answered]) -> None:
        self._answers += answers
        self._soon()

    def _soon(self) -> None:
        if not self._sending:
            self._sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._sending = False
        self._known |= self._keys.keys()
        down = Down(
            buckets=self._keys,
            given=tuple(self._given),
            dropped=tuple(self._dropped),
            answers=tuple(self._answers),
        )
        self._keys, self._given, self._dropped, self._answers = {}, [], [], []
        self._pipe.send(down)


def _log(noted: Noted) -> None:
    logging.getLogger(noted.logger).log(noted.level, noted.message, extra=dict(noted.extra))
