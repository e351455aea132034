"""Ledgers of every kind for the tests of their seam, and the words in which these speak."""

import zlib
from contextlib import asynccontextmanager

import pytest

from quotas.memory import MemoryLedger
from quotas.model import Charge, Line, Policy
from quotas.postgres import PostgresLedger, Upkeep
from quotas.sqlite import SqliteLedger

ALICE = Charge(group="eo/coast", user="alice")
BOB = Charge(group="eo/coast", user="bob")
CAROL = Charge(group="eo/ice", user="carol")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


BOLD = Upkeep(quiet_batches=1)
"""Decides without a look as soon as one has found nothing of others: the contract holds both ways."""
STORES = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.service)]
FULL_STORES = STORES[1:]
"""The stores that do all: the one in memory takes reservations only."""


@asynccontextmanager
async def ledger_on(store, policies, *, clock, tmp_path, request):
    """Open a ledger of a kind; the same one again within one test."""
    if store == "memory":
        async with MemoryLedger(policies, clock=clock) as ledger:
            yield ledger
    elif store == "sqlite":
        async with SqliteLedger(tmp_path / "quotas.sqlite", policies, clock=clock) as ledger:
            yield ledger
    else:
        schema = f"ledger_{zlib.crc32(str(tmp_path).encode())}"
        dsn = request.getfixturevalue("postgresql")
        async with PostgresLedger(dsn, policies, schema=schema, clock=clock, upkeep=BOLD) as ledger:
            yield ledger


def policy(name="p", resource="cores", kind="concurrent", amount=10.0, group="eo", **rest):
    return Policy(name=name, group=group, resource=resource, kind=kind, amount=amount, **rest)


def cores(amount, edge="edge-a"):
    return Line(resource="cores", amount=amount, edge=edge)


def stored(amount):
    return Line(resource="storage_bytes", amount=amount)


def harvested(amount):
    return Line(resource="harvest_bytes", amount=amount)


async def reserve(ledger, key, lines, charge=ALICE, ttl=60.0):
    return await ledger.reserve(key, charge, lines, ttl=ttl, why="a test")


async def taken(ledger, group="eo", user=None):
    return {(u.policy.name, u.holder): (u.used, u.reserved) for u in await ledger.usage([group], user)}
