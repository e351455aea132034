"""Ledgers that live at random: in a file that can be killed, and as two gateways' in one database.

``LAKEGATE_EXAMPLES`` multiplies how many lives are tried.
"""

import asyncio
import itertools
import os
import shutil
import sqlite3
import tempfile
from contextlib import nullcontext
from pathlib import Path

import asyncpg
from hypothesis import HealthCheck, settings

from quotas.amounts import exact
from quotas.binding import fact_of
from quotas.group_commit import Job
from quotas.model import Charge
from quotas.postgres import PostgresLedger, Upkeep
from quotas.replay import replay
from quotas.sqlite import SqliteLedger
from quotas.store import Store

CHARGES = [Charge(group=group, user=user) for group in ("eo", "eo/coast", "eo/ice") for user in ("alice", "bob")]

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a flush costs nothing: the order of writes is tried elsewhere."""

UPKEEP = Upkeep(sweep_seconds=1e6, quiet_batches=1)
"""Decides without a look as soon as one has found nothing of others: both ways must hold."""

EXAMPLES = float(os.environ.get("LAKEGATE_EXAMPLES", "1"))


class Direct(SqliteLedger):
    """The ledger on SQLite without its thread: a thousand lives are too long with it. The thread has its own tests."""

    def __init__(self, path, policies, *, clock):
        self.path = path
        self.store = Store(path, policies, clock=clock, observer=None)
        self.store.open()
        self._reader = sqlite3.connect(path, isolation_level=None)
        self._reading = nullcontext()

    @property
    def policy_set(self):
        return self.store.policies

    async def _call(self, run, *keys, fresh=False):
        job = Job(keys, lambda now: run(self.store.state, now), None)
        self.store.apply([job])
        if job.error is not None:
            raise job.error
        return job.result

    async def _read_history(self, group, after, limit, wanted):
        return self._select_history(group, after, limit, wanted)

    def close(self):
        self._reader.close()
        self.store.close()


def finished(call):
    """Run a coroutine that waits for nothing: thousands of lives are quicker without an event loop."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


class OnSqlite:
    """A ledger in a file, which can be killed: the file is as it was at the last flush."""

    run = staticmethod(finished)

    def __init__(self, clock):
        self.clock = clock
        self.folder = Path(tempfile.mkdtemp(dir=FAST))
        self.policies = ()

    def open(self, policies):
        self.policies = policies
        self.ledger = Direct(self.folder / "q.sqlite", policies, clock=self.clock)

    def next(self):
        return self.ledger

    def close(self):
        self.ledger.close()

    def crash(self):
        left = Path(tempfile.mkdtemp(dir=FAST))
        shutil.copytree(self.folder, left, dirs_exist_ok=True)
        self.close()
        self.remove()
        self.folder = left
        self.open(self.policies)

    def remove(self):
        shutil.rmtree(self.folder)


class OnPostgres:
    """Two gateways' ledgers in one database, used in turns; their connections can be cut.

    All lives are in one schema, emptied after each: to make one anew takes longer than a life.
    """

    dsn = ""
    schema = "lives"
    tables = (
        *("batch", "lease", "ended", "returned", "entry", "checkpoint", "stock", "counted", "spent", "rate"),
        *("policy", "permit", "waiting", "share"),
    )
    loop = asyncio.new_event_loop()

    def __init__(self, clock):
        self.clock = clock

    def run(self, call):
        return self.loop.run_until_complete(call)

    def open(self, policies):
        self.ledgers = [
            PostgresLedger(self.dsn, policies, schema=self.schema, clock=self.clock, upkeep=UPKEEP) for _ in range(2)
        ]
        for ledger in self.ledgers:
            self.run(ledger.__aenter__())
        self.turns = itertools.cycle(self.ledgers)

    def next(self):
        return next(self.turns)

    def close(self):
        for ledger in self.ledgers:
            self.run(ledger.__aexit__(None, None, None))

    def crash(self):
        connection = self.next()._store._connection
        if connection is not None:
            connection.terminate()

    def remove(self):
        self.run(self._empty())

    async def _empty(self):
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": self.schema})
        await connection.execute("SET session_replication_role = replica")  # the history may be deleted, here only
        await connection.execute("; ".join(map("DELETE FROM {}".format, self.tables)))
        await connection.execute("UPDATE head SET version = 0, fence = 0; UPDATE forgotten SET seq = 0, at = 0")
        await connection.close()


def check_replay(entries, leases):
    """The history must add up to what is open."""
    state = replay(entries)
    held = {}
    for lease in leases:
        facts = held.setdefault(lease.key, {})
        for line in lease.lines:
            fact = fact_of(lease.charge, line)
            if line.amount:
                facts[fact] = facts.get(fact, 0.0) + exact(line.amount)
    assert state.open == {key: facts for key, facts in held.items() if facts}
    assert all(amount >= 0 for amount in state.kept.values())
    assert all(entry.after >= 0 for entry in entries)


def lives(count):
    return settings(
        max_examples=max(1, int(count * EXAMPLES)),
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
