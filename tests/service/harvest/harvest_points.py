"""All writes of a process, each a point after which it can be killed: database, bucket, catalogue, ledger, gateway.

The points are found by running, not listed by hand: whatever writes in the end goes through one of these calls.
"""

import asyncio
import functools
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harvest_scene import FileCatalogue

from edges.storage.s3 import S3Store
from harvest.beside.tellers import PipeTeller
from harvest.beside.wire import Pipe
from harvest.database_postgres import PostgresConnection, PostgresSession
from harvest.database_sqlite import SqliteConnection, SqliteSession
from harvest.desk_far import Line
from quotas.sqlite import SqliteLedger

BUCKET = ("put", "put_stream", "create_upload", "put_part", "complete_upload", "abort_upload", "delete", "copy_from")
LEDGER = ("reserve", "renew", "commit", "release", "line_up", "leave_line", "give_back")
READING = ("terms", "current", "parts")


@contextmanager
def readings() -> Iterator[list[tuple[str, int]]]:
    """Note which objects are read from buckets in this process, each with the byte that is begun at."""
    noted: list[tuple[str, int]] = []
    lend, lend_whole = S3Store.lend, S3Store.lend_whole

    def lent(itself, key, *, start=0, stop=None):
        noted.append((key, start))
        return lend(itself, key, start=start, stop=stop)

    async def lent_whole(itself, key):
        noted.append((key, 0))
        return await lend_whole(itself, key)

    S3Store.lend, S3Store.lend_whole = lent, lent_whole
    try:
        yield noted
    finally:
        S3Store.lend, S3Store.lend_whole = lend, lend_whole


class Points:
    """Counts the writes of this process, and notes each in a file; after the ``fatal`` one the process is killed."""

    def __init__(self, notes: Path, fatal: int) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._fatal = fatal
        self._count = 0
        self._counting = threading.Lock()  # the database has a thread of its own
        self._wrote: set[str] = set()

    def reach(self, name: str) -> None:
        with self._counting:
            self._count += 1
            os.write(self._notes, f"{name}\n".encode())
            if self._count == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Follow all writes of this process, from now on: it does nothing else."""
        for name in BUCKET:
            self._after(S3Store, name, f"bucket {name}")
        for name in LEDGER:
            self._after(SqliteLedger, name, f"ledger {name}")
        for connection, session in ((SqliteConnection, SqliteSession), (PostgresConnection, PostgresSession)):
            self._transactions(connection, session)
        self._catalogue()
        self._line()

    def watch_beside(self) -> None:
        """Follow all writes of this process, which is one beside another: what it puts, tells, and is answered."""
        for name in BUCKET:
            self._after(S3Store, name, f"bucket {name}")
        self._pipe()

    def _after(self, kind: type, name: str, told: str) -> None:
        plain = getattr(kind, name)

        @functools.wraps(plain)
        async def pointed(*args: object, **named: object) -> object:
            result = await plain(*args, **named)
            self.reach(told)
            return result

        setattr(kind, name, pointed)

    def _transactions(self, connection: type, session: type) -> None:
        for name in ("all", "change"):
            plain = getattr(connection, name)

            def noted(itself, query, *args, plain=plain, **values):
                sql = re.sub(r"--[^\n]*", "", itself._named[query]).strip().upper()
                result = plain(itself, query, *args, **values)
                if not sql.startswith("SELECT") and result:
                    self._wrote.add(query)
                return result

            setattr(connection, name, noted)
        commit = session.commit

        def committed(itself):
            commit(itself)
            if self._wrote:
                told, self._wrote = "+".join(sorted(self._wrote)), set()
                self.reach(f"database {told}")

        session.commit = committed

    def _catalogue(self) -> None:
        keep = FileCatalogue._keep

        def kept(itself, *args):
            keep(itself, *args)
            self.reach("catalogue")

        FileCatalogue._keep = kept

    def _line(self) -> None:
        plain = Line.call

        async def call(itself, verb, deed):
            answer = await plain(itself, verb, deed)
            if verb not in READING:
                self.reach(f"gateway {verb}")
            return answer

        Line.call = call

    def _pipe(self) -> None:
        send, call = Pipe.send, PipeTeller.call

        def sent(itself, up):
            send(itself, up)
            for told in (*(act.verb for act in up.acts if act.verb not in READING), *("ended" for _ in up.ended)):
                self.reach(f"told {told}")

        async def answered(itself, verb, deed):
            body = await call(itself, verb, deed)
            if verb not in READING:
                self.reach(f"answered {verb}")
            return body

        Pipe.send, PipeTeller.call = sent, answered


def chosen(count: int, some: int) -> Iterable[int]:
    """Return after which of so many writes to kill: everyday after ``some`` of them."""
    if os.environ.get("LAKEGATE_KILL") == "all":
        return range(1, count + 1)
    return sorted({1 + (count - 1) * number // (some - 1) for number in range(some)})


async def ended(processes, target: Callable[..., None], *arguments: object) -> int | None:
    """Call a function in a process of its own; return the exit code."""
    process = processes.Process(target=target, args=arguments)
    process.start()
    await asyncio.to_thread(process.join, 60)
    return process.exitcode
