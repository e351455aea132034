"""The processes beside this one: started where there is work enough, again where they die, ended where none is."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harvest.beside.clerk import Clerk
from harvest.beside.mate import Mate, ProcessGone
from harvest.beside.starting import Start, started
from harvest.bucket_keys import Bucket
from harvest.claims import ObjectClaim, is_small
from harvest.desk_wire import Terms
from harvest.model import Value
from harvest.settling import Ending, Settles, Settling
from harvest.zip_address import container_of

logger = logging.getLogger(__name__)

ENOUGH = 64
"""Small objects, one after the other, for which a process is worth its start; twice as many for the next one."""

IDLE_SECONDS = 20.0
"""How long a process is kept that has nothing to do."""

_LONGEST_PAUSE = 300.0


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What processes beside may do: ``terms`` tell how, ``buckets`` give the keys (None: there are none to be told).

    ``near_only`` tells which claims have sources that this process alone can read.
    """

    terms: Terms
    buckets: Callable[[str], Bucket | None]
    near_only: Callable[[ObjectClaim], bool]

    def keys(self, claim: ObjectClaim) -> Mapping[str, Bucket] | None:
        """Return the keys that a claim needs; None where it is not to be given away."""
        sites = {claim.target}
        sites.update(each.site for each in claim.sources if container_of(each.href).startswith("s3:"))
        keys = {site: bucket for site in sites if (bucket := self.buckets(site)) is not None}
        return keys if len(keys) == len(sites) else None


class Told(Value, frozen=True):
    """A process beside, as it is told of: what it has in hand, and how many objects it has carried."""

    pid: int
    in_hand: int
    carried: int


class CrewFigures(Value, frozen=True):
    """The processes beside that live; how many objects all have carried, and how many died, since the start."""

    living: tuple[Told, ...]
    carried: int
    deaths: int


class Crew:
    """At most ``most`` processes, until :meth:`leave`."""

    def __init__(self, *, most: int, reach: Reach, clerk: Clerk, patience: float, start: Start = started) -> None:
        self._most = most
        self._reach = reach
        self._clerk = clerk
        self._patience = patience
        self._start = start
        self._mates: list[Mate] = []
        self._lives: set[asyncio.Task[None]] = set()
        self._starting = False
        self._seen = 0
        self._not_before = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._deaths = 0
        self._died_in_a_row = 0
        self._carried = 0

    async def leave(self) -> None:
        """End all processes, once what they have told is written down."""
        self._most = 0
        if self._idle is not None:
            self._idle.cancel()
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        await self._clerk.leave()

    def settling(self, own: Settling) -> Settles:
        """Return what settles claims in these processes where they take them, else by ``own``."""
        return _Shared(own=own, crew=self)

    def figures(self) -> CrewFigures:
        """Return what is to be told of the processes."""
        living = tuple(Told(pid=mate.pid, in_hand=mate.in_hand, carried=mate.carried) for mate in self._mates)
        carried = self._carried + sum(each.carried for each in living)
        return CrewFigures(living=living, carried=carried, deaths=self._deaths)

    def takes(self, claim: ObjectClaim, own: int) -> bool:
        """Tell whether a claim is for a process beside; where none is there, one is started once there is enough.

        ``own`` is how many this process has in hand: a quarter of what another has, since it keeps the books, too.
        """
        if not self._most or not is_small(claim) or self._reach.near_only(claim):
            return False
        self._seen += 1
        self._rest_later()
        if self._seen >= ENOUGH << len(self._mates) and len(self._mates) < self._most and not self._starting:
            self._begin()
        return bool(self._mates) and min(mate.in_hand for mate in self._mates) <= own * 4

    async def settle(self, claim: ObjectClaim) -> Ending | None:
        """Let a process carry out a claim; None where it is not to be given away.

        Raises:
            ProcessGone: the process has ended meanwhile.
            HarvestError: as :meth:`harvest.settling.Settles.settle`.
        """
        keys = self._reach.keys(claim)
        if keys is None or not self._mates:
            return None
        return await min(self._mates, key=lambda mate: mate.in_hand).settle(claim, keys)

    # -- lives ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if asyncio.get_running_loop().time() < self._not_before:
            return
        self._starting = True
        life = asyncio.create_task(self._life(), name="harvest-mate")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _life(self) -> None:
        """Start a process and listen to it until it ends."""
        try:
            begun = await self._start()
        except OSError as error:
            logger.warning("no process to carry can be started", extra={"error": str(error)})
            self._starting = False
            self._died()
            return
        mate = Mate(begun, clerk=self._clerk, terms=self._reach.terms, patience=self._patience)
        try:
            if await mate.ready():
                self._mates.append(mate)
                self._starting = False
                await mate.listen()
        finally:
            self._starting = False
            dismissed = mate.dismissed or not self._most
            with contextlib.suppress(ValueError):
                self._mates.remove(mate)
            self._carried += mate.carried
            await asyncio.shield(mate.leave())
            if not dismissed:
                logger.warning("a process that carries has ended", extra={"pid": mate.pid})
                self._died(mate.carried)

    def _died(self, carried: int = 0) -> None:
        """Wait before the next start, longer each time: what kills one may kill the next."""
        self._deaths += 1
        self._died_in_a_row = 1 if carried > ENOUGH else self._died_in_a_row + 1
        pause = min(_LONGEST_PAUSE, 0.5 * 2.0**self._died_in_a_row)
        self._not_before = asyncio.get_running_loop().time() + pause

    def _rest_later(self) -> None:
        if self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest, self._seen)

    def _rest(self, seen: int) -> None:
        """End the processes where nothing has come for a while."""
        self._idle = None
        if self._seen > seen or any(mate.in_hand for mate in self._mates):
            self._rest_later()
            return
        self._seen = 0
        mates, self._mates = self._mates, []
        for mate in mates:
            mate.dismiss()


class _Shared:
    """Settles claims in processes beside where they take them, else in this one (:class:`harvest.settling.Settles`)."""

    def __init__(self, *, own: Settling, crew: Crew) -> None:
        self._own = own
        self._crew = crew
        self._in_hand = 0

    async def settle(self, claim: ObjectClaim) -> Ending:
        """Carry out a claim."""
        if not self._crew.takes(claim, self._in_hand):
            return await self._here(claim)
        try:
            ending = await self._crew.settle(claim)
        except ProcessGone as error:
            return await self._own.put_off(claim, str(error), 0.0)
        return await self._here(claim) if ending is None else ending

    async def _here(self, claim: ObjectClaim) -> Ending:
        self._in_hand += 1
        try:
            return await self._own.settle(claim)
        finally:
            self._in_hand -= 1
