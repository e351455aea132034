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

import msgspec

from quotas.book import Book, Ended, Journal, Observer
from quotas.errors import LedgerUnavailable, QuotaError
from quotas.group_commit import AnyJob
from quotas.model import Charge, Lease, Line, Policy
from quotas.rules import BUCKETS, Fact, PolicySet
from quotas.schema import QUERIES, migrate

logger = logging.getLogger(__name__)

LOCK_SECONDS = 10.0
"""How long to wait for another process to let go of the ledger (a rolling restart), in seconds."""

KEEP_SECONDS = 30 * 86_400.0
"""How long the key of an ended lease is recognised, in seconds: longer than any retry."""

FENCE_BLOCK = 10_000
"""Fencing tokens are taken in blocks, so that not each commit writes their counter; a restart skips the rest."""

PRUNE_SECONDS = 3_600.0
"""How often what is too old is forgotten, in seconds."""

_lines_decoder = msgspec.json.Decoder(tuple[Line, ...])
_encode = msgspec.json.Encoder().encode


class Store:
    """The ledger in one SQLite file (WAL, ``synchronous=FULL``), owned by one process at a time.

    Implements :class:`quotas.group_commit.BatchStore`.
    """

    def __init__(
        self, path: Path, policies: PolicySet, *, clock: Callable[[], float], observer: Observer | None
    ) -> None:
        self._path = path
        self._policies = policies
        self._clock = clock
        self._observer = observer
        self._lock_file = -1
        self._book: Book | None = None
        self._fences_until = 0
        self.expired = 0
        """How many leases the present batch found to be over."""
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
            migrate(self._connection)
            self._book = self._load(self._policies)
        except (OSError, sqlite3.Error) as error:
            self._release_lock()
            raise LedgerUnavailable(f"the ledger {self._path} cannot be opened: {error}") from error
        except LedgerUnavailable:
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

    def _load(self, policies: PolicySet) -> Book:
        self._rate_names = {policy.name: _definition(policy) for policy in policies.policies if policy.kind == "rate"}
        self._adapt(policies)
        seq, fence = self._rows("read_counters")[0]
        self._fences_until = fence
        book = Book(policies, seq=seq, fence=fence, observer=self._observer)
        for row in self._rows("read_leases"):
            book.load_lease(_lease(*row))
        for grp, user, resource, edge, amount in self._rows("read_stock"):
            book.load_stock(Fact(grp, user, resource, edge), amount)
        for grp, user, resource, edge, window, bucket, amount in self._rows("read_spent"):
            book.load_spent(Fact(grp, user, resource, edge), window, bucket, amount)
        known = {definition: name for name, definition in self._rate_names.items()}
        for definition, holder, tat in self._rows("read_rates"):
            book.load_rate(known[definition], holder, tat)
        return book

    def _adapt(self, policies: PolicySet) -> None:
        """Have the file count what these policies ask for: new windows from the history, new rates from nothing."""
        counted = {(resource, window) for resource, window in self._rows("read_counted")}
        wanted = policies.windows()
        ended = {(definition,) for definition, *_ in self._rows("read_rates")}
        ended -= {(definition,) for definition in self._rate_names.values()}
        if counted == wanted and not ended:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for resource, window in wanted - counted:
                since = self._clock() - window * (1 + 1 / BUCKETS)
                values = {"resource": resource, "window": window, "since": since, "buckets": float(BUCKETS)}
                self._connection.execute(QUERIES["begin_counting"], values)
                self._connection.execute(QUERIES["write_counted"], values)
            for resource, window in counted - wanted:
                values = {"resource": resource, "window": window}
                self._connection.execute(QUERIES["end_counting_spent"], values)
                self._connection.execute(QUERIES["end_counting"], values)
            self._many("drop_rate", ended)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise

    def set_policies(self, policies: PolicySet) -> None:
        """Go over to other policies; what is taken is counted under them at once. To be run as a job."""
        self._flush()
        before = self.book
        self._book = self._load(policies)
        self._book.ended, self._book.returned = before.ended, before.returned
        self._policies = policies

    # Applying operations.

    @property
    def book(self) -> Book:
        """The book, for the jobs."""
        if self._book is None:
            self._book = self._load(self._policies)
        return self._book

    def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run the jobs and write what they changed (see :class:`quotas.group_commit.BatchStore`)."""
        now = self._clock()
        try:
            self._meet([job.key for job in jobs if job.key is not None])
            self.expired = self.book.expire(now)
            for job in jobs:
                try:
                    job.result = job.run(now)
                except QuotaError as refused:  # an answer: nothing was changed
                    job.error = refused
            self._flush()
        except sqlite3.Error as error:
            self._fail(jobs, error)
        except BaseException:
            self._forget()
            raise
        else:
            self._prune(now)

    def _meet(self, keys: list[str]) -> None:
        """Have the book know the ended leases of these keys."""
        book = self.book
        book.ended, book.returned = {}, {}
        fresh = [key for key in keys if key not in book.leases]
        if fresh:
            for *columns, how, at in self._rows("read_ended", _encode(fresh).decode()):
                lease = _lease(*columns)
                book.ended[lease.key] = Ended(lease=lease, how=how, at=at)

    def give_back(self, now: float, charge: Charge, line: Line, key: str, why: str) -> None:
        """Return stock, if the key has not been seen. To be run as a job."""
        self.book.returned.update(self._rows("read_returned", key))
        self.book.give_back(now, charge, line, key, why)

    def _flush(self) -> None:
        book = self.book
        if book.journal:
            self._write(book.journal)
            book.journal = Journal()

    def _write(self, journal: Journal) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        self._many("forget_ended", ((key,) for key in journal.revived))
        self._many("close_lease", ((key,) for key in journal.ended))
        self._many("write_lease", (_lease_row(lease) for lease in journal.opened.values()))
        self._many("write_ended", ((*_lease_row(e.lease), e.how, e.at) for e in journal.ended.values()))
        self._many("write_returned", journal.returned.items())
        self._many("write_entry", journal.entries)
        self._many("write_stock", ((*fact, amount) for fact, amount in journal.stock.items()))
        self._many("add_spent", ((*fact, window, n, more) for (fact, window, n), more in journal.spent.items()))
        rates = ((self._rate_names[name], holder, tat) for (name, holder), tat in journal.rates.items())
        self._many("write_rate", rates)
        if self.book.fence > self._fences_until:
            self._fences_until = self.book.fence + FENCE_BLOCK
            connection.execute(QUERIES["write_fence"], (self._fences_until,))
        connection.execute("COMMIT")

    def _fail(self, jobs: Iterable[AnyJob], error: sqlite3.Error) -> None:
        logger.error("the ledger cannot be written", extra={"ledger": str(self._path), "error": str(error)})
        self._forget()
        for job in jobs:
            job.result = None
            job.error = LedgerUnavailable(f"the ledger cannot be written: {error}")

    def _forget(self) -> None:
        """Give up what was not written: the book is loaded again before it is used again."""
        self._book = None
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
            self._connection.execute(QUERIES["prune_spent"], {"now": now, "buckets": BUCKETS})
        except sqlite3.Error as error:
            logger.warning("the ledger cannot be pruned", extra={"ledger": str(self._path), "error": str(error)})

    def _rows(self, name: str, *values: str) -> list[Any]:
        return self._connection.execute(QUERIES[name], values).fetchall()

    def _many(self, name: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._connection.executemany(QUERIES[name], rows)


def _lease_row(lease: Lease) -> tuple[str, str, str, str, int, float]:
    charge = lease.charge
    return lease.key, charge.group, charge.user, _encode(lease.lines).decode(), lease.fence, lease.expires_at


def _lease(key: str, group: str, user: str, lines: str, fence: int, expires_at: float) -> Lease:
    return Lease(
        key=key,
        charge=Charge(group=group, user=user),
        lines=_lines_decoder.decode(lines),
        fence=fence,
        expires_at=expires_at,
    )


def _definition(policy: Policy) -> str:
    parts = (
        policy.name,
        policy.group,
        policy.applies,
        policy.edge,
        policy.resource,
        policy.amount,
        policy.window_seconds,
    )
    return _encode(parts).decode()
