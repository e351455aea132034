"""The ledger's file: loads the book from SQLite, applies operations to it, and writes its journal.

Everything here runs in the one writer thread. The database is the truth; the book in memory is built from it,
and built anew after any write that failed.
"""

import errno
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from quotas.binding import Fact, PolicySet
from quotas.errors import LedgerUnavailable, QuotaError
from quotas.group_commit import AnyJob
from quotas.journal import Ended, Journal, entry_of
from quotas.judging import Observer
from quotas.model import Policy
from quotas.office import Office
from quotas.replay import (
    FORGET_AT_ONCE,
    KEEP_HISTORY_SECONDS,
    checkpoint_rows,
    forgotten,
    from_checkpoint,
    horizon_of,
)
from quotas.rows import ended_row, grant_of, lease_of, lease_row, rate_definition, stored_of, text, waiting_of
from quotas.schema import QUERIES, migrate
from quotas.state import State
from quotas.windows import BUCKETS, begins, bucket_of

logger = logging.getLogger(__name__)

LOCK_SECONDS = 10.0
"""How long to wait for another process to let go of the ledger (a rolling restart), in seconds."""

KEEP_SECONDS = 30 * 86_400.0
"""How long the key of an ended lease is recognised, in seconds: longer than any retry."""

FENCE_BLOCK = 10_000
"""Fencing tokens are taken in blocks, so that not each commit writes their counter; a restart skips the rest."""

CLOCK_SECONDS = 86_400.0
"""By how much the clock may be set back: what came free so lately is not forgotten."""

PRUNE_SECONDS = 3_600.0
"""How often what is too old is forgotten, in seconds."""


class Store:
    """The ledger in one SQLite file (WAL, ``synchronous=FULL``), owned by one process at a time.

    Implements :class:`quotas.group_commit.BatchStore`.
    """

    def __init__(
        self,
        path: Path,
        policies: Sequence[Policy],
        *,
        clock: Callable[[], float],
        observer: Observer | None,
        keep_history_seconds: float = KEEP_HISTORY_SECONDS,
    ) -> None:
        self._path = path
        self._policies = policies
        self._clock = clock
        self._observer = observer
        self._keep_history_seconds = keep_history_seconds
        self._lock_file = -1
        self._state: State | None = None
        self.policies = PolicySet(())
        """The policies that hold."""
        self._fences_until = 0
        self._pruned_at = -PRUNE_SECONDS

    # Opening and closing.

    def open(self) -> None:
        """Take the ledger, bring its schema up to date, and load it.

        Raises:
            LedgerUnavailable: another process has it, or the file cannot be used.
        """
        try:
            self._take_lock()
            self._connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=64)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA busy_timeout = 5000")
            self._connection.create_function("bucket_of", 2, bucket_of, deterministic=True)
            migrate(self._connection)
            self._configure(self._policies)
            self._state = self._load()
        except (OSError, sqlite3.Error) as error:
            self._release_lock()
            raise LedgerUnavailable(f"the ledger {self._path} cannot be opened: {error}") from error
        except QuotaError:
            self._release_lock()
            raise

    def _take_lock(self) -> None:
        lock = self._path.with_name(self._path.name + ".lock")
        self._lock_file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() >= deadline:
                    raise LedgerUnavailable(f"another process has the ledger {self._path}") from error
                time.sleep(0.05)
            else:
                return

    def _release_lock(self) -> None:
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def close(self) -> None:
        """Close the file and let go of the ledger."""
        self._connection.close()
        self._release_lock()

    # Loading.

    def _load(self) -> State:
        office = self._office()
        policies = self.policies = office.policies
        self._rate_names = {p.name: rate_definition(p) for p in policies.policies if p.kind == "rate"}
        self._adapt(policies.spans())
        seq, fence = self._rows("read_counters")[0]
        self._fences_until = fence
        state = State(office, seq=seq, fence=fence, observer=self._observer)
        book = state.book
        for row in self._rows("read_leases"):
            book.load_lease(lease_of(row))
        for grp, user, resource, edge, amount in self._rows("read_stock"):
            book.load_stock(Fact(grp, user, resource, edge), amount)
        for grp, user, resource, edge, span, bucket, amount in self._rows("read_spent"):
            book.load_spent(Fact(grp, user, resource, edge), span, bucket, amount)
        known = {definition: name for name, definition in self._rate_names.items()}
        for definition, holder, tat in self._rows("read_rates"):
            book.load_rate(known[definition], holder, tat)
        for grp, user, amount, at in self._rows("read_shares"):
            book.load_share((grp, user), amount, at)
        for (body,) in self._rows("read_waiting"):
            state.turns.load(waiting_of(body))
        return state

    def _office(self) -> Office:
        stored = [stored_of(name, body) for name, body in self._rows("read_policies")]
        grants = [grant_of(grant_id, body) for grant_id, body in self._rows("read_permits")]
        return Office(stored, grants)

    def _configure(self, policies: Sequence[Policy]) -> None:
        """Have the file hold the configured policies."""
        seq, fence = self._rows("read_counters")[0]
        state = State(self._office(), seq=seq, fence=fence)
        state.configure(self._clock(), policies)
        if state.journal:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._many("write_entry", state.journal.entries)
                self._write_policies(state.journal)
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise

    def _adapt(self, wanted: set[tuple[str, int]]) -> None:
        """Have the file count what these policies ask for: new windows from the history, new rates from nothing."""
        counted = {(resource, span) for resource, span in self._rows("read_counted")}
        ended = {(definition,) for definition, *_ in self._rows("read_rates")}
        ended -= {(definition,) for definition in self._rate_names.values()}
        if counted == wanted and not ended:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for resource, span in wanted - counted:
                values = {"resource": resource, "span": span, "since": begins(span, self._clock())}
                self._connection.execute(QUERIES["begin_counting"], values)
                self._connection.execute(QUERIES["write_counted"], values)
            for resource, span in counted - wanted:
                values = {"resource": resource, "span": span}
                self._connection.execute(QUERIES["end_counting_spent"], values)
                self._connection.execute(QUERIES["end_counting"], values)
            self._many("drop_rate", ended)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise

    # Applying operations.

    @property
    def state(self) -> State:
        """The state, for the jobs."""
        if self._state is None:
            self._state = self._load()
        return self._state

    def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run the jobs and write what they changed (see :class:`quotas.group_commit.BatchStore`)."""
        now = self._clock()
        try:
            self._meet([key for job in jobs for key in job.keys])
            self.state.begin(now)
            for job in jobs:
                try:
                    job.result = job.run(now)
                except QuotaError as refused:  # an answer: nothing was changed
                    job.error = refused
                if self.state.stale:
                    self._renew()
            self.state.finish(now)
            self._flush()
        except sqlite3.Error as error:
            self._fail(jobs, error)
        except BaseException:  # whatever ended the batch, the state in memory is not what was written
            self._forget()
            raise
        else:
            self._prune(now)

    def _renew(self) -> None:
        """Go over to changed policies; what is taken is counted under them at once."""
        self._flush()
        before = self.state.book
        expired = self.state.expired
        self._state = self._load()
        self._state.book.ended, self._state.book.returned = before.ended, before.returned
        self._state.expired = expired

    def _meet(self, keys: list[str]) -> None:
        """Have the book know the ended leases of these keys, and what was given back under them."""
        book = self.state.book
        book.ended, book.returned = {}, {}
        fresh = [key for key in keys if key not in book.leases]
        if fresh:
            asked = text(fresh)
            for *columns, how, at in self._rows("read_ended", asked):
                lease = lease_of(columns)
                book.ended[lease.key] = Ended(lease=lease, how=how, at=at)
            book.returned.update(self._rows("read_returned", asked))

    def _flush(self) -> None:
        state = self.state
        if state.journal:
            self._write(state.journal)
            state.written()

    def _write(self, journal: Journal) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        if journal.revived:
            self._many("forget_ended", ((key,) for key in journal.revived))
        if journal.ended:
            self._many("close_lease", ((key,) for key in journal.ended))
            self._many("write_ended", map(ended_row, journal.ended.values()))
        self._many("write_lease", map(lease_row, journal.opened.values()))
        self._many("write_entry", journal.entries)
        self._write_more(journal)
        if journal.policies or journal.grants:
            self._write_policies(journal)
        if journal.waiting or journal.shares:
            self._write_line(journal)
        if self.state.book.fence > self._fences_until:
            self._fences_until = self.state.book.fence + FENCE_BLOCK
            connection.execute(QUERIES["write_fence"], (self._fences_until,))
        connection.execute("COMMIT")

    def _write_more(self, journal: Journal) -> None:
        """Write what a reservation alone does not change."""
        if journal.stock:
            self._many("write_stock", ((*fact, amount) for fact, amount in journal.stock.items()))
        if journal.spent:
            self._many("add_spent", ((*fact, span, n, more) for (fact, span, n), more in journal.spent.items()))
        if journal.rates:
            named = self._rate_names
            self._many("write_rate", ((named[name], holder, at) for (name, holder), at in journal.rates.items()))
        if journal.returned:
            self._many("write_returned", journal.returned.items())

    def _write_policies(self, journal: Journal) -> None:
        for (source, name), stored in journal.policies.items():
            self._change("policy", (source, name), None if stored is None else (text(stored),))
        for grant_id, grant in journal.grants.items():
            self._change("permit", (grant_id,), None if grant is None else (text(grant), grant.expires_at))

    def _write_line(self, journal: Journal) -> None:
        for key, waiting in journal.waiting.items():
            self._change("waiting", (key,), None if waiting is None else (text(waiting),))
        self._many("write_share", ((*place, share.amount, share.at) for place, share in journal.shares.items()))

    def _change(self, table: str, key: tuple[str, ...], rest: tuple[object, ...] | None) -> None:
        if rest is None:
            self._connection.execute(QUERIES[f"delete_{table}"], key)
        else:
            self._connection.execute(QUERIES[f"write_{table}"], (*key, *rest))

    def _fail(self, jobs: Iterable[AnyJob], error: sqlite3.Error) -> None:
        logger.error("the ledger cannot be written", extra={"ledger": str(self._path), "error": str(error)})
        self._forget()
        for job in jobs:
            job.result = None
            job.error = LedgerUnavailable(f"the ledger cannot be written: {error}")

    def _forget(self) -> None:
        """Give up what was not written: the state is loaded again before it is used again."""
        self._state = None
        self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _prune(self, now: float) -> None:
        if abs(now - self._pruned_at) < PRUNE_SECONDS:
            return
        self._pruned_at = now
        try:
            self._connection.execute(QUERIES["prune_ended"], (now - KEEP_SECONDS,))
            self._connection.execute(QUERIES["prune_returned"], (now - KEEP_SECONDS,))
            self._connection.execute(QUERIES["prune_rates"], (now - KEEP_SECONDS,))
            self._connection.execute(QUERIES["prune_permits"], (now - KEEP_SECONDS,))
            self._connection.execute(QUERIES["prune_spent"], {"now": now - CLOCK_SECONDS, "buckets": BUCKETS})
            self._forget_history(now)
        except sqlite3.Error as error:
            self._roll_back()
            logger.warning("the ledger cannot be pruned", extra={"ledger": str(self._path), "error": str(error)})

    def _forget_history(self, now: float) -> None:
        """Put a checkpoint in place of the oldest part of the history, if it is too old."""
        spans = [span for _, span in self.policies.spans()]
        horizon = horizon_of(now, self._keep_history_seconds, spans)
        ((seq,),) = self._rows("read_forgotten")
        oldest = self._connection.execute(QUERIES["read_oldest"], (FORGET_AT_ONCE,))
        start = from_checkpoint(seq, self._rows("read_checkpoint"))
        state = forgotten(map(entry_of, oldest.fetchall()), start, horizon)
        if state.seq == seq:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(QUERIES["clear_checkpoint"])
        self._many("write_checkpoint", checkpoint_rows(state))
        self._connection.execute(QUERIES["write_forgotten"], (state.seq, horizon))
        self._connection.execute(QUERIES["forget_entries"], (state.seq,))
        self._connection.execute("COMMIT")

    def _rows(self, name: str, *values: str) -> list[Any]:
        return self._connection.execute(QUERIES[name], values).fetchall()

    def _many(self, name: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._connection.executemany(QUERIES[name], rows)
