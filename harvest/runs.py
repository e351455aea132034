"""Runs kept: workers elsewhere are started where orders want them, looked at, and ended. Repeatable.

Several gateways may do this at once: each run is claimed, with a fence. A run is written down before anything is made
for it, under an id that its workers, Jobs and clusters carry; what is left of a gateway that died is found by it.
"""

import hmac
import logging
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from harvest.database import Connection, Journal, Row
from harvest.errors import HarvestError
from harvest.executors.choice import Choice
from harvest.executors.seams import Errand, Executor, Look
from harvest.settings_executors import ExecutorSettings

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0
"""How long a gateway that died keeps a run from the others."""

LOOK_SECONDS = 5.0
"""How often a run is looked at."""

PAUSE_SECONDS = 5.0
LONGEST_PAUSE = 300.0
"""How long an order waits after a run that failed: longer each time."""


class RunTokens:
    """Tokens of runs: the same at each gateway that has the key, good for as long as the run is."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"harvest runs", "sha256")

    def token(self, run: str) -> str:
        """Return a run's token."""
        return hmac.digest(self._key, run.encode(), "sha256").hex()

    def is_of(self, run: str, token: str) -> bool:
        """Tell whether a token is a run's."""
        return hmac.compare_digest(self.token(run).encode(), token.encode())


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What carries far from the gateway: executors by name, the tokens of their runs, and our address for them."""

    executors: Mapping[str, Executor]
    choice: Choice
    tokens: RunTokens
    url: str

    @property
    def settings(self) -> ExecutorSettings:
        """Return how they are used."""
        return self.choice.settings


def nowhere() -> Elsewhere:
    """Return what there is where all is carried here."""
    return Elsewhere(executors={}, choice=Choice(), tokens=RunTokens(secrets.token_bytes(32)), url="")


class Runs:
    """Does one turn at a time."""

    def __init__(self, *, journal: Journal, elsewhere: Elsewhere) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint
        self._elsewhere = elsewhere

    async def turn(self) -> bool:
        """Begin what is wanted, look at what is at work; tell whether anything was begun or ended."""
        begun = await self._begin()
        now = self._clock()
        moved = False
        for row in await self._database.run(lambda c: c.all("runs_due", now=now)):
            moved = await self._keep(row["id"], now) or moved
        return begun or moved

    async def _begin(self) -> bool:
        now = self._clock()
        expires = now + self._elsewhere.settings.run_seconds

        def begin(connection: Connection) -> int:
            rows = connection.all("orders_to_run", now=now, pause=PAUSE_SECONDS, longest=LONGEST_PAUSE)
            for row in rows:
                if row["executor"] not in self._elsewhere.executors:  # it is configured no longer
                    connection.change("order_carried_here", id=row["id"])
                    continue
                values = {"executor": row["executor"], "target": row["target"], "expires": expires}
                connection.change("run_insert", id=uuid.uuid4().hex, order_id=row["id"], now=now, **values)
            return len(rows)

        begun = await self._database.run(begin)
        if begun:
            self._checkpoint("run-written")
        return bool(begun)

    async def _keep(self, run_id: str, now: float) -> bool:
        row = await self._database.run(lambda c: c.one("run_claim", id=run_id, now=now, until=now + CLAIM_SECONDS))
        if row is None:  # another gateway was first
            return False
        order = await self._database.run(lambda c: c.one("run_wanted", order_id=row["order_id"]))
        errand = self._errand(row, order)
        executor = self._elsewhere.executors.get(row["executor"])
        if executor is None:
            return await self._ended(row, "this executor is configured no longer", failed=True)
        try:
            return await self._carry_on(executor, errand, row, order, now)
        except HarvestError as error:
            logger.warning(
                "an executor failed", extra={"run": run_id, "executor": row["executor"], "reason": str(error)}
            )
            await self._looked(row, row["handle"], str(error), now)
            return False

    async def _carry_on(self, executor: Executor, errand: Errand, row: Row, order: Row, now: float) -> bool:
        if order["state"] != "ACTIVE" or not order["open"] or row["expires"] <= now:
            await executor.stop(errand, row["handle"])
            self._checkpoint("run-stopped")
            return await self._ended(row, "its time was over" if row["expires"] <= now else "", failed=False)
        if not row["handle"]:
            handle = await executor.start(errand)
            self._checkpoint("run-started")
            return await self._looked(row, handle, "", now)
        look = await executor.look(errand, row["handle"])
        if look.health == "working":
            return await self._looked(row, row["handle"], look.reason, now)
        return await self._gone(executor, errand, row, look)

    async def _gone(self, executor: Executor, errand: Errand, row: Row, look: Look) -> bool:
        """End a run whose workers are gone though there is work: what they had in hand is taken up by the next."""
        await executor.stop(errand, row["handle"])
        return await self._ended(row, look.reason or "its workers have ended", failed=look.health == "failed")

    async def _looked(self, row: Row, handle: str, reason: str, now: float) -> bool:
        values = {"handle": handle, "reason": reason[:500], "until": now + LOOK_SECONDS}
        await self._database.run(lambda c: c.change("run_looked", id=row["id"], fence=row["fence"], **values))
        return False

    async def _ended(self, row: Row, reason: str, *, failed: bool) -> bool:
        now = self._clock()
        values = {"reason": reason[:500], "failed": int(failed), "now": now}
        await self._database.run(lambda c: c.change("run_ended", id=row["id"], fence=row["fence"], **values))
        extra = {"run": row["id"], "executor": row["executor"], "reason": reason, "failed": failed}
        logger.info("a harvest run has ended", extra=extra)
        return True

    def _errand(self, row: Row, order: Row) -> Errand:
        elsewhere = self._elsewhere
        return Errand(
            run=row["id"],
            order=row["order_id"],
            target=row["target"],
            group=order["charged"],
            user=order["user"],
            url=elsewhere.url,
            token=elsewhere.tokens.token(row["id"]),
            workers=elsewhere.settings.workers,
            seconds=max(1.0, row["expires"] - row["created"]),
        )
