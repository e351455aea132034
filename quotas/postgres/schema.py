"""The schema in PostgreSQL: made and brought up to date by whoever comes first, while the others wait."""

import re
from importlib import resources

import asyncpg

from quotas.errors import LedgerUnavailable
from quotas.schema import queries, scripts

QUERIES = queries(resources.files("quotas.postgres").joinpath("ledger.sql").read_text(encoding="utf-8"))

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_LOCK = 0x6C616B65
"""The number of the advisory lock under which the schema is changed ("lake")."""


def checked_schema(name: str) -> str:
    """Return a name that can stand in SQL as it is.

    Raises:
        ValueError: it cannot.
    """
    if not _SCHEMA.fullmatch(name):
        raise ValueError(f"schema must be lower-case letters, digits and _, got {name!r}")
    return name


async def migrate(connection: asyncpg.Connection, schema: str) -> None:
    """Bring the schema to the newest version; each step is one transaction.

    Raises:
        LedgerUnavailable: the schema was written by a newer version.
    """
    steps = scripts("quotas.postgres.migrations")
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.execute("CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY)")
    for number, script in steps:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            present = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migration")
            if present > steps[-1][0]:
                raise LedgerUnavailable(
                    f"the ledger has schema {present}, this version knows {steps[-1][0]}; use the newer one"
                )
            if number > present:
                await connection.execute(script)
                await connection.execute("INSERT INTO migration (number) VALUES ($1)", number)


async def version(connection: asyncpg.Connection) -> tuple[int, int]:
    """Return the schema's version, 0 where there is none, and the one that this release knows."""
    known = scripts("quotas.postgres.migrations")[-1][0]
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return 0, known
    return int(await connection.fetchval("SELECT coalesce(max(number), 0) FROM migration")), known
