"""Has the ledger say what the edges say: what runs is paid for, what does not is given back."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

from quotas.errors import LeaseLost
from quotas.ledger import Ledger
from quotas.records import Observed, Reconciled

_log = logging.getLogger(__name__)

RENEWALS = 3
"""So many times in its life a lease is renewed."""
GRACE = 0.5
"""What part of a lease's life it is kept although nothing is seen to run for it: it may be about to start."""


class ReconcilingLedger(Ledger, Protocol):
    """A ledger that can be told what runs."""

    async def reconcile(self, prefix: str, observed: Sequence[Observed], *, ttl: float, grace: float) -> Reconciled:
        """Compare the leases with what runs (see :class:`quotas.ledger.Adjustments`)."""
        ...


class LeaseTruth:
    """Tells the ledger what runs, for the leases whose keys begin with ``prefix``; nobody else has such keys.

    Leases live for ``lease_seconds``; they are renewed, and set right, by all that runs being told again and again.
    """

    def __init__(
        self,
        ledger: ReconcilingLedger,
        *,
        prefix: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._prefix = prefix
        self._seconds = lease_seconds
        self._clock = clock
        self._told: frozenset[Observed] = frozenset()
        self._told_at = float("-inf")

    async def tell(self, running: Callable[[], Collection[Observed]], unsettled: Collection[str]) -> None:
        """Tell the ledger all that runs, where it has changed, or when a third of a lease's life is over.

        ``running`` tells what runs at the moment: a lease must be released after it has stopped to say so, never
        before. ``unsettled`` are keys of which it is not known whether anything runs: what was granted stays.

        Raises:
            LedgerUnavailable: the ledger cannot be written; the next call tells it again.
        """
        now = self._clock()
        if frozenset(running()) == self._told and now - self._told_at < self._seconds / RENEWALS:
            return
        for key in unsettled:
            with suppress(LeaseLost):
                await self._ledger.renew(key, ttl=self._seconds)
        seen = frozenset(running())
        done = await self._ledger.reconcile(
            self._prefix, sorted(seen, key=_key), ttl=self._seconds, grace=self._seconds * GRACE
        )
        self._told, self._told_at = seen, now
        for lease in done.adopted:
            _log.warning("a lease was set right", extra={"lease": lease.key, "user": lease.charge.user})
        for key in done.released:
            _log.warning("a lease was given back: nothing runs for it", extra={"lease": key})
        for key, refusal in done.refused:
            # running work is not killed for it: it stays, and the next time asks again
            _log.warning("what runs has no such lease", extra={"lease": key, "why": refusal.sentence()})


def _key(observed: Observed) -> str:
    return observed.key
