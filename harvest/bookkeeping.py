"""What is written down beside the carrying, so that no line waits for it: plans spread, catalogues told."""

from collections.abc import Callable

from harvest.database import Journal
from harvest.enlisting import enlist
from harvest.registering import BATCH, claim_items
from harvest.registrar import Registrar


class Bookkeeping:
    """Does one piece at a time; any number of processes share the database. ``progressed`` is called after each.

    A claim on items lasts ``claim_seconds``.
    """

    def __init__(
        self, *, journal: Journal, registrar: Registrar, claim_seconds: float, progressed: Callable[[], None]
    ) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._registrar = registrar
        self._claim_seconds = claim_seconds
        self._progressed = progressed

    async def enlist(self) -> bool:
        """Spread some of a plan over items and objects; tell whether there was any."""
        enlisted = await self._database.run(enlist)
        if enlisted:
            self._progressed()
        return bool(enlisted)

    async def register(self) -> bool:
        """Tell a catalogue of some items; tell whether more may be waiting: else they are let gather."""
        now = self._clock()
        until = now + self._claim_seconds
        items = await self._database.run(lambda c: claim_items(c, now, until))
        if items:
            await self._registrar.register(items)
            self._progressed()
        return len(items) == BATCH
