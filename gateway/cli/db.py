"""``lakegate db``: brings the database that several gateways share to the newest schema, or says whether it is there.

A gateway does the same when it starts; apart, it can be done with other rights, before an upgrade.
"""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import click

from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, EXIT_USAGE, CommandFailed, print_json
from gateway.config import ConfigError, read_settings
from gateway.left_behind import LeftBehind, check_nothing_left_behind
from gateway.records_postgres import DEFAULT_SCHEMA, make_schema, schema_made
from gateway.settings import Settings
from harvest import database_postgres as orders
from harvest.errors import DatabaseUnavailable
from quotas.errors import LedgerUnavailable
from quotas.postgres.connecting import connect
from quotas.postgres.schema import checked_schema, migrate, version

T = TypeVar("T")

Version = tuple[int, int]
"""The schema that was found, and the one that this release knows."""

_FAILED = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    LedgerUnavailable,
    DatabaseUnavailable,
    RuntimeError,
)  # the last: of a newer release

_config = click.option(
    "--config", "file", type=click.Path(path_type=Path), required=True, help="The gateway's configuration file."
)


@click.group()
def db() -> None:
    """Migrate or check the database that several gateways share (`quotas.database`)."""


@db.command("migrate")
@_config
def migrate_command(file: Path) -> None:
    """Bring the schemas forward; safe to run twice, and while gateways of this release run."""
    dsn, schema = _database(file)
    _run(_migrated(dsn, schema))
    click.echo("the database is at this release's schema")


@db.command("check")
@_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.pass_context
def check_command(context: click.Context, file: Path, as_json: bool) -> None:
    """Tell whether the database can be reached and is at this release's schema (exit code 3: it is not).

    Also where the state folder holds work that the database does not know: a gateway would not start.
    """
    try:
        check_nothing_left_behind(_settings(file))
    except LeftBehind as error:
        raise CommandFailed(str(error), EXIT_REFUSED) from error
    dsn, schema = _database(file)
    ledger, harvest, records = _run(_checked(dsn, schema))
    current = all(found == known for found, known in (ledger, harvest)) and records
    if as_json:
        schemas = {name: {"found": each[0], "known": each[1]} for name, each in _named(ledger, harvest)}
        print_json({"current": current, **schemas, "records": records})
    else:
        for name, (found, known) in _named(ledger, harvest):
            click.echo(f"{name}: schema {found} of {known}")
        click.echo(f"records: {'there' if records else 'missing'}")
    if not current:
        context.exit(EXIT_REFUSED)


def _named(ledger: Version, harvest: Version) -> tuple[tuple[str, Version], ...]:
    return ("ledger", ledger), ("harvest", harvest)


def _database(file: Path) -> tuple[str, str]:
    settings = _settings(file)
    if settings.quotas.database is None:
        raise CommandFailed(
            f"{file}: $.quotas.database: there is none, so each gateway has files of its own", EXIT_USAGE
        )
    try:
        return settings.quotas.database.reveal(), checked_schema(settings.quotas.database_schema)
    except (LookupError, ValueError) as error:
        raise CommandFailed(f"{file}: $.quotas: {error}", EXIT_USAGE) from error


def _settings(file: Path) -> Settings:
    try:
        return read_settings(file, os.environ)
    except ConfigError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except _FAILED as error:
        raise CommandFailed(f"the database: {type(error).__name__}: {error}", EXIT_FAILED) from error


async def _migrated(dsn: str, schema: str) -> None:
    connection = await connect(dsn, schema)
    try:
        await migrate(connection, schema)
    finally:
        await connection.close()
    await make_schema(dsn, DEFAULT_SCHEMA)
    connection = await orders.connect(dsn, orders.DEFAULT_SCHEMA)
    try:
        await orders.migrate(connection, orders.DEFAULT_SCHEMA)
    finally:
        await connection.close()


async def _checked(dsn: str, schema: str) -> tuple[Version, Version, bool]:
    connection = await connect(dsn, schema)
    try:
        ledger = await version(connection)
    finally:
        await connection.close()
    connection = await orders.connect(dsn, orders.DEFAULT_SCHEMA)
    try:
        harvest = await orders.version(connection)
    finally:
        await connection.close()
    return ledger, harvest, await schema_made(dsn, DEFAULT_SCHEMA)
