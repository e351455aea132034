"""The ledger's SQL: named queries from one file, and the migrations, applied in order."""

import re
import sqlite3
from importlib import resources

from quotas.errors import LedgerUnavailable

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def queries(text: str) -> dict[str, str]:
    """Split a file of queries by their ``-- name:`` lines."""
    parts = _NAME.split(text)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


QUERIES = queries(resources.files("quotas").joinpath("ledger.sql").read_text(encoding="utf-8"))


def scripts(package: str) -> list[tuple[int, str]]:
    """Return the migrations of a package as (number, script), by number."""
    files = [file for file in resources.files(package).iterdir() if file.name.endswith(".sql")]
    return sorted((int(file.name.partition("_")[0]), file.read_text(encoding="utf-8")) for file in files)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest schema, one transaction per step.

    Raises:
        LedgerUnavailable: the database was written by a newer version.
    """
    (present,) = connection.execute("PRAGMA user_version").fetchone()
    steps = scripts("quotas.migrations")
    if present > steps[-1][0]:
        raise LedgerUnavailable(
            f"the ledger has schema {present}, this version knows {steps[-1][0]}; use the newer one"
        )
    for number, script in steps:
        if number > present:
            try:
                connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
