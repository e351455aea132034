"""Kills a ledger's process at each of its writes, one after the other, and says what is found afterwards.

``python ledger_killed.py sqlite FOLDER 1 0`` or ``postgresql DSN 4 2`` (each fourth point after the second) prints one
JSON object: how many points there were, and what was wrong at which. Each point is tried in a process of its own (a
fork: starting Python anew takes long).
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg

import quotas.group_commit
import quotas.postgres.ledger
from quotas.errors import UnknownGrant
from quotas.model import Charge, Line, Policy
from quotas.postgres import PostgresLedger, Upkeep
from quotas.records import Grant, Observed, Spent
from quotas.sqlite import SqliteLedger

NOW = 1_700_000_000.0
ALICE, BOB = Charge(group="eo/coast", user="alice"), Charge(group="eo/coast", user="bob")
POLICIES = (
    Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10, on_exceed="queue"),
    Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=100),
    Policy(name="hour", group="eo", resource="harvest_bytes", kind="window", amount=100, window_seconds=3_600),
    Policy(name="pace", group="eo", resource="requests", kind="rate", amount=50, window_seconds=3_600),
)


def line(resource, amount):
    return Line(resource=resource, amount=amount)


async def revoke(ledger):
    with suppress(UnknownGrant):  # it was revoked already, before the kill
        await ledger.revoke("g", by="ops", why="over")


RAISED = Grant(id="g", policy="disk", holder="eo", amount=5, expires_at=NOW + 9_999, by="ops", why="more")
MEMORY = Policy(name="memory", group="eo", resource="memory", kind="concurrent", amount=5)
SCRIPT: tuple[Callable, ...] = (
    lambda ledger: ledger.put_policy(MEMORY, by="ops", why="new"),
    lambda ledger: ledger.reserve("a", ALICE, [line("cores", 8), line("memory", 2)], ttl=60, why="w"),
    lambda ledger: ledger.renew("a", ttl=90),
    lambda ledger: ledger.reserve("b", BOB, [line("storage_bytes", 50), line("requests", 3)], ttl=60, why="w"),
    lambda ledger: ledger.commit("b", {"storage_bytes": 40, "requests": 2}),
    lambda ledger: ledger.line_up("c", BOB, [line("cores", 6)], ttl=60, why="w"),
    lambda ledger: ledger.release("a"),
    lambda ledger: ledger.give_back(BOB, line("storage_bytes", 15), key="gone", why="deleted"),
    lambda ledger: ledger.grant(RAISED),
    lambda ledger: ledger.open_slice("s", "edge-a", "eo/coast", [line("harvest_bytes", 30)], ttl=60, why="w"),
    lambda ledger: ledger.settle_slice("s", [Spent(user="alice", resource="harvest_bytes", amount=20)]),
    lambda ledger: ledger.reconcile("c", [Observed(key="c", charge=BOB, lines=(line("cores", 7),))], ttl=60, grace=0),
    revoke,
)


class Points:
    """Counts the points at which the process can be killed, and kills it at one of them."""

    def __init__(self, kill_at):
        self.left = kill_at

    def pass_one(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class OnSqlite:
    def __init__(self, folder):
        self.folder = Path(folder)

    def ledger(self, name):
        return SqliteLedger(self.folder / f"{name}.sqlite", POLICIES, clock=lambda: NOW, sweep_seconds=1e6)

    def arm(self, points):
        connect = sqlite3.connect

        def armed(*args, **rest):
            connection = connect(*args, **rest)
            connection.set_trace_callback(lambda _: points.pass_one())
            return connection

        sqlite3.connect = armed


class OnPostgres:
    def __init__(self, dsn):
        self.dsn = dsn

    def ledger(self, name):
        upkeep = Upkeep(sweep_seconds=1e6, quiet_batches=1)
        return PostgresLedger(self.dsn, POLICIES, schema=f"killed_{name}", clock=lambda: NOW, upkeep=upkeep)

    def arm(self, points):
        for name in ("execute", "fetch", "fetchrow", "fetchval"):
            setattr(asyncpg.Connection, name, self._armed(getattr(asyncpg.Connection, name), points))

    @staticmethod
    def _armed(call, points):
        async def armed(*args, **rest):
            points.pass_one()
            result = await call(*args, **rest)
            points.pass_one()
            return result

        return armed


def arm_telling(points):
    """Let the process be killed when all is durable and nobody has been told."""
    deliver = quotas.group_commit.deliver

    def armed(jobs):
        points.pass_one()
        deliver(jobs)

    quotas.group_commit.deliver = quotas.postgres.ledger.deliver = armed


async def play(ledger, first, told):
    async with ledger:
        for number in range(first, len(SCRIPT)):
            await SCRIPT[number](ledger)
            told(number)


async def snapshot(ledger):
    async with ledger:
        return {
            "taken": sorted((u.policy.name, u.holder, u.used, u.reserved) for u in await ledger.usage(["eo"])),
            "leases": [(lease.key, str(lease.lines)) for lease in await ledger.leases()],
            "waiting": [ticket.key for ticket in await ledger.waiting()],
            "grants": [grant.id for grant in await ledger.grants()],
            "policies": [stored.policy.name for stored in await ledger.policies()],
            "history": [(e.event, e.key, e.user, e.amount, e.before, e.after) for e in await ledger.history("*")],
        }


def killed(store, name, kill_at):
    """Run the script until the kill; return whether it was killed, and how many operations were told as done."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        points = Points(kill_at)
        store.arm(points)
        arm_telling(points)
        asyncio.run(play(store.ledger(name), 0, lambda _: os.write(writer, b".")))
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as told:
        return os.WIFSIGNALED(status), len(told.read())


async def expected(store, name):
    """Return what is found after each number of operations."""
    states = []
    async with store.ledger(name):
        pass
    states.append(await snapshot(store.ledger(name)))
    for operation in SCRIPT:
        async with store.ledger(name) as ledger:
            await operation(ledger)
        states.append(await snapshot(store.ledger(name)))
    return states


async def judge(store, name, done, states):
    """Say what is wrong after a kill; nothing, if all is as it was before or after the operation under way."""
    found = await snapshot(store.ledger(name))
    if found not in states[done : done + 2]:
        return f"after {done} operations: {found}"
    await play(store.ledger(name), done, lambda _: None)
    ended = await snapshot(store.ledger(name))
    return "" if ended == states[-1] else f"at the end, after {done} operations before the kill: {ended}"


def main():
    name, where, step, start = sys.argv[1:]
    store = {"sqlite": OnSqlite, "postgresql": OnPostgres}[name](where)
    states = asyncio.run(expected(store, f"undisturbed_{start}"))
    wrong = {}
    point = 1 + int(start)
    while True:
        was_killed, done = killed(store, f"p{point}", point)
        if not was_killed:
            break
        fault = asyncio.run(judge(store, f"p{point}", done, states))
        if fault:
            wrong[point] = fault
        point += int(step)
    print(json.dumps({"points": point - int(step), "wrong": wrong, "end": states[-1]}))


if __name__ == "__main__":
    main()
