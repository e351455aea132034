"""What is too old is forgotten; of the history, its oldest part becomes a checkpoint."""

from collections.abc import Iterable

import asyncpg

from quotas.journal import entry_of
from quotas.postgres.schema import QUERIES
from quotas.replay import FORGET_AT_ONCE, Replayed, checkpoint_rows, forgotten, from_checkpoint, horizon_of
from quotas.windows import BUCKETS

KEEP_BATCHES = 10_000
KEEP_BATCH_SECONDS = 600.0
"""How many batches, and for how long, are kept for other gateways at least; who is further behind loads all."""

KEEP_SECONDS = 30 * 86_400.0
"""How long the key of an ended lease is recognised, in seconds: longer than any retry."""

CLOCK_SECONDS = 86_400.0
"""By how much the clock may be set back: what came free so lately is not forgotten."""


async def prune(connection: asyncpg.Connection, now: float, keep_history_seconds: float, spans: Iterable[int]) -> None:
    """Forget what is too old; ``spans`` are those of the windows that count, in seconds."""
    await connection.execute(QUERIES["prune_batches"], KEEP_BATCHES, now - KEEP_BATCH_SECONDS)
    for name in ("prune_ended", "prune_returned", "prune_rates", "prune_permits"):
        await connection.execute(QUERIES[name], now - KEEP_SECONDS)
    await connection.execute(QUERIES["prune_spent"], now - CLOCK_SECONDS, BUCKETS)
    await _forget_history(connection, horizon_of(now, keep_history_seconds, list(spans)))


async def _forget_history(connection: asyncpg.Connection, horizon: float) -> None:
    """Put a checkpoint in place of the oldest part of the history, if it is too old."""
    async with connection.transaction():
        await connection.execute(QUERIES["lock"])
        start = await read_checkpoint(connection)
        before = start.seq
        oldest = await connection.fetch(QUERIES["read_oldest"], FORGET_AT_ONCE)
        state = forgotten((entry_of(tuple(row)) for row in oldest), start, horizon)
        if state.seq > before:
            await connection.execute(QUERIES["clear_checkpoint"])
            await connection.execute(QUERIES["write_checkpoint"], checkpoint_rows(state))
            await connection.execute(QUERIES["write_forgotten"], state.seq, horizon)
            await connection.execute(QUERIES["forget_entries"], state.seq)


async def read_checkpoint(connection: asyncpg.Connection) -> Replayed:
    """Read where the history begins; to be called in a transaction that sees one moment, or alone can change it."""
    seq = await connection.fetchval(QUERIES["read_forgotten"])
    return from_checkpoint(seq, [tuple(row) for row in await connection.fetch(QUERIES["read_checkpoint"])])
