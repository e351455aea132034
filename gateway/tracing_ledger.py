"""Ledgers whose calls are parts of the request that waits for them (:mod:`gateway.tracing`)."""

from typing import TypeVar

from gateway.tracing import Spans
from quotas.operations import Call
from quotas.postgres import PostgresLedger
from quotas.sqlite import SqliteLedger

Result = TypeVar("Result")
Kind = TypeVar("Kind", PostgresLedger, SqliteLedger)
NAME = "ledger"


class TracedSqliteLedger(SqliteLedger):
    """The ledger on SQLite; ``spans`` is given before it is used."""

    spans: Spans

    async def _call(self, run: Call[Result], *keys: str, fresh: bool = False) -> Result:
        return await self.spans.inside(NAME, super()._call(run, *keys, fresh=fresh))


class TracedPostgresLedger(PostgresLedger):
    """The ledger on PostgreSQL; ``spans`` is given before it is used."""

    spans: Spans

    async def _call(self, run: Call[Result], *keys: str, fresh: bool = False) -> Result:
        return await self.spans.inside(NAME, super()._call(run, *keys, fresh=fresh))


def traced_by(spans: Spans | None, ledger: Kind) -> Kind:
    """Give a ledger what records its calls, where it is one that has them recorded."""
    if spans is not None and isinstance(ledger, TracedSqliteLedger | TracedPostgresLedger):
        ledger.spans = spans
    return ledger
