"""The workers beside the database: each takes the next piece of work, and carries it out."""

from collections.abc import Callable

from harvest.carrier import Carrier
from harvest.database import Journal
from harvest.enlisting import enlist
from harvest.registering import claim_items
from harvest.registrar import Registrar


class Worker:
    """Carries out work, one piece at a time; several of them share the database, in any number of processes.

    Items are told to catalogues before objects are fetched. A claim on items lasts ``claim_seconds``. ``found`` is
    called before each piece, so that another can look for more, and ``progressed`` after it.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        carrier: Carrier,
        registrar: Registrar,
        claim_seconds: float,
        found: Callable[[], None],
        progressed: Callable[[], None],
    ) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._carrier = carrier
        self._registrar = registrar
        self._claim_seconds = claim_seconds
        self._found = found
        self._progressed = progressed

    def nudge(self) -> None:
        """Let all claims be looked at now: one may have been taken away."""
        self._carrier.nudge()

    async def step(self) -> bool:
        """Carry out one piece of work; tell whether there was any."""
        now = self._clock()
        until = now + self._claim_seconds
        enlisted, items = await self._database.run(lambda c: (enlist(c), claim_items(c, now, until)))
        if items:
            self._found()
            await self._registrar.register(items)
        worked = bool(items) or await self._carrier.step(self._found) or bool(enlisted)
        if worked:
            self._progressed()
        return worked
