"""The ledger's database: takes over what other gateways wrote, applies operations, and writes their changes.

Everything here runs in one task of one gateway. A batch is decided on the state as it was looked up, and written
only if that is still the newest; else it is decided again, under the lock of the one row that counts versions.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg

from quotas.binding import PolicySet
from quotas.errors import LedgerUnavailable, QuotaError
from quotas.group_commit import AnyJob
from quotas.journal import Journal
from quotas.judging import Observer
from quotas.model import Policy
from quotas.postgres.company import Company
from quotas.postgres.connecting import AGAIN, LOST, connect
from quotas.postgres.pruning import prune
from quotas.postgres.rows import batch_rows, meet, read_office, read_state, rest_rows
from quotas.postgres.schema import QUERIES, migrate
from quotas.postgres.upkeep import USUAL, Upkeep
from quotas.replication import absorb, encode
from quotas.rows import rate_definition
from quotas.state import State
from quotas.windows import BUCKETS, begins

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long a batch is tried, over lost connections too, before it is given up."""

PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 1.0
"""How long to wait before another try: at first, then twice as long, and so on; and at most."""

MOST_LOCKED = 1_024
"""Batches that are decided under the lock after somebody else came in between; fewer at first."""

PRUNE_SECONDS = 3_600.0
"""How often what is too old is forgotten, in seconds."""


Answers = list[tuple[object, BaseException | None]]
Attempts = dict[uuid.UUID, Answers]
"""What was told to jobs by attempts of which it is not known whether they were written."""


class _Outrun(Exception):
    """Somebody else wrote what we have not seen: nothing was written, and all is to be loaded anew."""


def _nothing() -> None:
    """Do nothing."""


class PostgresStore:
    """One gateway's side of the ledger in PostgreSQL."""

    def __init__(
        self,
        dsn: str,
        schema: str,
        policies: Sequence[Policy],
        *,
        clock: Callable[[], float] | None,
        observer: Observer | None,
        upkeep: Upkeep = USUAL,
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._configured = policies
        self._given_clock = clock
        self._observer = observer
        self._keep_history_seconds = upkeep.keep_history_seconds
        self._company = Company(upkeep.quiet_batches)
        self.heard: Callable[[], None] = _nothing
        """Called when another gateway tells that policies or grants have changed: there is something to see."""
        self._connection: asyncpg.Connection | None = None
        self._state: State | None = None
        self._version = -1
        self._offset = 0.0
        self._definitions: dict[str, str] = {}
        self._locked_for = 0
        self._locked_next = 1
        self._pruned_at = 0.0
        self.policies = PolicySet(())
        """The policies that hold, as far as is known."""

    @property
    def state(self) -> State:
        """The state, for the jobs."""
        if self._state is None:
            raise LedgerUnavailable("the ledger is not loaded")
        return self._state

    # Opening and closing.

    async def open(self) -> None:
        """Connect, bring the schema up to date, and load the state.

        Raises:
            LedgerUnavailable: the database cannot be used.
        """
        try:
            connection = await self._connected()
            await migrate(connection, self._schema)
            await self._configure(connection)
            await self._load(connection)
        except (asyncpg.PostgresError, *LOST) as error:
            await self.close()
            raise LedgerUnavailable(f"the ledger cannot be opened: {error}") from error
        except BaseException:  # nobody will call close
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(asyncpg.PostgresError, *LOST):
                await connection.close(timeout=1.0)

    def _hang_up(self) -> None:
        """Give the connection up: what is under way on it ends, or is found by its attempt's id."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, self._schema)
            started = time.monotonic()
            now = await self._connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::double precision")
            self._offset = now - (started + time.monotonic()) / 2
            await self._connection.add_listener(self._channel, self._told)
        return self._connection

    @property
    def _channel(self) -> str:
        return f"{self._schema}_policies"

    def _told(self, connection: object, pid: int, channel: str, payload: object) -> None:
        """Hear what a gateway tells, which may be this one."""
        if self._connection is not None and pid != self._connection.get_server_pid():
            self.heard()

    def _now(self) -> float:
        """Return the database's time, the same for all gateways."""
        return self._offset + time.monotonic() if self._given_clock is None else self._given_clock()

    # Loading.

    async def _configure(self, connection: asyncpg.Connection) -> None:
        """Have the database hold the configured policies."""
        async with connection.transaction():
            seen = await connection.fetchval(QUERIES["lock"])
            office = await read_office(connection)
            head = await connection.fetchrow(QUERIES["read_head"])
            state = State(office, seq=head["seq"], fence=head["fence"])
            state.configure(self._now(), self._configured)
            if state.journal:
                body = encode(state.journal, state.book.seq, head["fence"])
                await self._write(connection, state.journal, (seen, uuid.uuid4(), body, head["fence"]))

    async def _load(self, connection: asyncpg.Connection) -> None:
        """Load the state as it is at one moment."""
        self._state = None
        while True:
            await self._adapt(connection)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                head = await connection.fetchrow(QUERIES["read_head"])
                office = await read_office(connection)
                if await self._counted(connection) != office.policies.spans():
                    continue  # other policies came in between
                definitions = _definitions(office.policies)
                state = State(office, seq=head["seq"], fence=head["fence"], observer=self._observer)
                await read_state(connection, state, definitions)
            self._state, self._version, self._definitions = state, head["version"], definitions
            self.policies = office.policies
            return

    async def _counted(self, connection: asyncpg.Connection) -> set[tuple[str, int]]:
        return {(resource, span) for resource, span in await connection.fetch(QUERIES["read_counted"])}

    async def _adapt(self, connection: asyncpg.Connection) -> None:
        """Have the database count what the policies ask for: new windows from the history, new rates from nothing."""
        async with connection.transaction():
            await connection.execute(QUERIES["lock"])
            policies = (await read_office(connection)).policies
            wanted, counted = policies.spans(), await self._counted(connection)
            for resource, span in wanted - counted:
                since = begins(span, self._now())
                await connection.execute(QUERIES["begin_counting"], resource, span, since, float(BUCKETS))
                await connection.execute(QUERIES["write_counted"], resource, span)
            for resource, span in counted - wanted:
                await connection.execute(QUERIES["end_counting_spent"], resource, span)
                await connection.execute(QUERIES["end_counting"], resource, span)
            await connection.execute(QUERIES["drop_rates"], list(_definitions(policies).values()))

    # Applying operations.

    async def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run the jobs and make them durable; each gets its result or its error."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempts: Attempts = {}
        pause = PAUSE_SECONDS
        while jobs:
            try:
                done = await self._attempt(jobs, attempts)
            except (LedgerUnavailable, *AGAIN, *LOST) as error:
                self._state = None
                self._hang_up()
                if time.monotonic() + pause > deadline:
                    self._fail(jobs, error)
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_PAUSE_SECONDS)
            except asyncpg.PostgresError as error:
                self._state = None
                self._hang_up()
                self._fail(jobs, error)
                return
            else:
                if done:
                    jobs, attempts = jobs[done:], {}

    async def _attempt(self, jobs: Sequence[AnyJob], attempts: Attempts) -> int:
        """Try once; return how many of the jobs are done."""
        connection = await self._connected()
        if attempts:
            written = await connection.fetchval(QUERIES["wrote"], list(attempts))
            if written is not None:  # we were not told
                for job, (result, error) in zip(jobs, attempts[written], strict=False):
                    job.result, job.error = result, error
                return len(attempts[written])
        if self._state is None:
            await self._load(connection)
        attempt = uuid.uuid4()
        try:
            done = await self._decide(connection, jobs, attempt, attempts)
        except _Outrun:
            attempts.pop(attempt, None)
            self._company.wrong()
            self._locked_next = self._locked_for = min(MOST_LOCKED, self._locked_next * 2)
            self._state = None
            return 0
        if self.state.stale:
            await self._load(connection)
        await self._prune(connection)
        return done

    async def _decide(
        self, connection: asyncpg.Connection, jobs: Sequence[AnyJob], attempt: uuid.UUID, attempts: Attempts
    ) -> int:
        if self._locked_for > 0:
            self._locked_for -= 1
            async with connection.transaction():
                await connection.execute(QUERIES["lock"])
                return await self._run(connection, jobs, attempt, attempts)
        self._locked_next = max(1, self._locked_next // 2)
        return await self._run(connection, jobs, attempt, attempts)

    async def _run(
        self, connection: asyncpg.Connection, jobs: Sequence[AnyJob], attempt: uuid.UUID, attempts: Attempts
    ) -> int:
        """Run jobs on the newest state, up to one that changes policies, and write what they changed."""
        state = self.state
        keys = list({key for job in jobs for key in job.keys})
        fresh = self._unseen(jobs)
        if fresh is None:
            await self._look(connection, keys)
        else:
            meet(state.book, None, None)
        done = self._do(jobs)
        if fresh is not None and not state.journal and await self._look(connection, keys):
            fresh = None
            done = self._do(jobs)  # nothing was granted, for reasons that hold no more
        if state.journal:
            attempts[attempt] = done
            body = encode(state.journal, state.book.seq, state.book.fence)
            await self._write(connection, state.journal, (self._version, attempt, body, state.book.fence), fresh)
            self._version += 1
            state.written()
        if fresh is not None:
            self._company.right()
        return len(done)

    def _unseen(self, jobs: Sequence[AnyJob]) -> list[str] | None:
        """Return the keys that must be unknown for a batch to be decided without a look; None where one is needed."""
        if not self._company.alone or self._locked_for > 0:
            return None
        leases = self.state.book.leases
        unknown: list[str] = []
        for job in jobs:
            new = [key for key in job.keys if key not in leases]
            if not job.keys or (new and not job.fresh):
                return None
            unknown += new
        return unknown

    def _do(self, jobs: Sequence[AnyJob]) -> Answers:
        """Run jobs, up to one that changes policies; return what they were told."""
        state, now = self.state, self._now()
        state.begin(now)
        done: Answers = []
        for job in jobs:
            job.result = job.error = None
            try:
                job.result = job.run(now)
            except QuotaError as refused:  # an answer: nothing was changed
                job.error = refused
            done.append((job.result, job.error))
            if state.stale:
                break
        state.finish(now)
        return done

    async def _look(self, connection: asyncpg.Connection, keys: list[str]) -> bool:
        """Take over what others wrote, and look up what is known of the keys; tell whether there was anything."""
        state = self.state
        row = await connection.fetchrow(QUERIES["look"], self._version, keys)
        batches = row["batches"] or []
        if len(batches) != row["version"] - self._version or not all(absorb(state, body) for body in batches):
            raise _Outrun  # too far behind, or policies have changed
        if batches:
            self._version = row["version"]
            self._locked_for = max(self._locked_for, 1)
        self._company.met(others=bool(batches))
        meet(state.book, row["ended"], row["returned"])
        return bool(batches or row["ended"] or row["returned"])

    async def _write(
        self,
        connection: asyncpg.Connection,
        journal: Journal,
        head: tuple[int, uuid.UUID, bytes, int],
        fresh: list[str] | None = None,
    ) -> None:
        """Write a journal; ``fresh`` are keys that must be unknown, None where that has been seen."""
        values: list[object] = [*head, self._now(), *batch_rows(journal, self._definitions)]
        query = QUERIES["write_batch"] if fresh is None else QUERIES["write_fresh"]
        if fresh is not None:
            values.append(fresh)
        rest = rest_rows(journal)
        if rest is None:
            written = await connection.fetchval(query, *values)
        else:
            async with connection.transaction():
                written = await connection.fetchval(query, *values)
                if written:
                    await connection.execute(QUERIES["write_rest"], *rest)
                    if journal.policies or journal.grants:
                        await connection.execute(QUERIES["tell_policies"], self._channel)
        if not written:
            raise _Outrun

    def _fail(self, jobs: Sequence[AnyJob], error: Exception) -> None:
        logger.error("the ledger cannot be written", extra={"error": f"{type(error).__name__}: {error}"})
        for job in jobs:
            job.result = None
            job.error = LedgerUnavailable(f"the ledger cannot be written: {type(error).__name__}")

    async def _prune(self, connection: asyncpg.Connection) -> None:
        now = self._now()
        if abs(now - self._pruned_at) < PRUNE_SECONDS:
            return
        self._pruned_at = now
        try:
            spans = [span for _, span in self.policies.spans()]
            await prune(connection, now, self._keep_history_seconds, spans)
        except (asyncpg.PostgresError, *LOST) as error:
            logger.warning("the ledger cannot be pruned", extra={"error": str(error)})


def _definitions(policies: PolicySet) -> dict[str, str]:
    return {policy.name: rate_definition(policy) for policy in policies.policies if policy.kind == "rate"}
