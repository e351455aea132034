"""What the ledger on disk guarantees besides: crashes, full disks, owners, schemas."""

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import quotas.store
from quotas.errors import LedgerUnavailable
from quotas.group_commit import GroupCommit
from quotas.model import Charge, Lease, Line, Policy, Refusal
from quotas.sqlite import SqliteLedger

ALICE = Charge(group="eo/coast", user="alice")
CORES = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=1_000)
VOLUME = Policy(name="volume", group="eo", resource="harvest_bytes", kind="window", amount=1e6, window_seconds=3600)
DISK = Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=1e6)
PACE = Policy(name="pace", group="eo", resource="requests", kind="rate", amount=100, window_seconds=3600)
ALL = (CORES, VOLUME, DISK, PACE)


async def reserve(ledger, key, amount=1.0, what="cores", ttl=600.0):
    return await ledger.reserve(key, ALICE, [Line(resource=what, amount=amount)], ttl=ttl, why="a test")


async def taken(ledger):
    return {usage.policy.name: (usage.used, usage.reserved) for usage in await ledger.usage(["eo"])}


async def test_all_is_found_again_after_a_restart(tmp_path):
    now = 1_700_000_000.0
    async with SqliteLedger(tmp_path / "q", ALL, clock=lambda: now) as ledger:
        first = await reserve(ledger, "open", 3)
        for what in ("harvest_bytes", "storage_bytes", "requests"):
            await reserve(ledger, what, 40, what)
            await ledger.commit(what)
        before = await taken(ledger)
    async with SqliteLedger(tmp_path / "q", ALL, clock=lambda: now) as ledger:
        assert (
            await taken(ledger)
            == before
            == {"cores": (0, 3), "volume": (40, 0), "disk": (40, 0), "pace": (pytest.approx(40), 0)}
        )
        assert await reserve(ledger, "open", 3) == first
        assert await ledger.leases() == [first]
        later = await reserve(ledger, "later")
        assert later.fence > first.fence
        assert [entry.seq for entry in await ledger.history("eo")] == list(range(1, 9))


WRITER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from quotas.model import Charge, Line, Policy
    from quotas.sqlite import SqliteLedger

    cores = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=1000)
    disk = Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=1e6)
    charge = Charge(group="eo/coast", user="alice")

    async def life(ledger, number):
        n = 0
        while True:
            key = f"{number}-{n}"
            lines = [Line(resource="cores", amount=1), Line(resource="storage_bytes", amount=1)]
            await ledger.reserve(key, charge, lines, ttl=3600, why="a test")
            print("reserved", key, flush=True)
            if n % 3 == 0:
                await ledger.release(key)
                print("released", key, flush=True)
            elif n % 3 == 1:
                await ledger.commit(key)
                print("committed", key, flush=True)
            n += 1

    async def main():
        async with SqliteLedger(Path(sys.argv[1]), [cores, disk]) as ledger:
            await asyncio.gather(*(life(ledger, number) for number in range(8)))

    asyncio.run(main())
""")


def killed_writer(path, after_lines):
    """Run a writer, kill it once it has told so many lines, and return all that it told."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(quotas.store.__file__).parents[1]
    ) as process:
        told = [process.stdout.readline().split() for _ in range(after_lines)]
        process.send_signal(signal.SIGKILL)
        return told + [line.split() for line in process.stdout.read().split("\n")[:-1]]


@pytest.mark.service
@pytest.mark.parametrize("after_lines", [1, 7, 60, 400])
async def test_a_killed_process_loses_nothing_that_was_granted(tmp_path, after_lines):
    path = tmp_path / "q.sqlite"
    told = await asyncio.to_thread(killed_writer, path, after_lines)
    last = {key: event for event, key in told}
    async with SqliteLedger(path, [CORES, DISK]) as ledger:
        leases = {lease.key for lease in await ledger.leases()}
        committed = await all_committed(ledger)
        assert {key for key, event in last.items() if event == "reserved"} <= leases | ended(path)
        assert leases.isdisjoint(key for key, event in last.items() if event != "reserved")
        assert {key for key, event in last.items() if event == "committed"} <= committed
        assert await taken(ledger) == {"cores": (0, len(leases)), "disk": (len(committed), len(leases))}
        for key in leases:
            await ledger.release(key)
        assert (await taken(ledger))["cores"] == (0, 0)


def ended(path):
    """Return the keys whose end was written though the process did not live to tell it."""
    with sqlite3.connect(path) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM ended")}


async def all_committed(ledger):
    keys, after = set(), 0
    while page := await ledger.history("eo", after=after, limit=1_000):
        after = page[-1].seq
        keys |= {entry.key for entry in page if entry.event == "commit" and entry.resource == "storage_bytes"}
    return keys


@contextmanager
def full_disk(*paths):
    """Let no file grow: a limit of the operating system, as a full disk is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(path.stat().st_size for path in paths), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_and_keeps_the_state_whole(tmp_path):
    path = tmp_path / "q.sqlite"
    async with SqliteLedger(path, ALL) as ledger:
        await reserve(ledger, "before", 5)
        log = tmp_path / "q.sqlite-wal"
        with full_disk(log):
            for attempt in range(3):
                with pytest.raises(LedgerUnavailable):
                    await reserve(ledger, f"during {attempt}", 7)
            with pytest.raises(LedgerUnavailable):
                await ledger.release("before")
            assert await taken(ledger) == {"cores": (0, 5), "volume": (0, 0), "disk": (0, 0), "pace": (0, 0)}
        assert isinstance(await reserve(ledger, "after", 11), Lease)
        assert (await taken(ledger))["cores"] == (0, 16)
    async with SqliteLedger(path, ALL) as ledger:
        assert [lease.key for lease in await ledger.leases()] == ["after", "before"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_one_process_at_a_time_owns_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(quotas.store, "LOCK_SECONDS", 0.2)
    async with SqliteLedger(tmp_path / "q", ALL):
        with pytest.raises(LedgerUnavailable, match="another process"):
            async with SqliteLedger(tmp_path / "q", ALL):
                pass
    async with SqliteLedger(tmp_path / "q", ALL) as ledger:
        assert isinstance(await reserve(ledger, "k"), Lease)


async def test_the_next_process_waits_for_the_one_that_is_leaving(tmp_path):
    first = SqliteLedger(tmp_path / "q", ALL)
    await first.__aenter__()

    async def second():
        async with SqliteLedger(tmp_path / "q", ALL) as ledger:
            return await taken(ledger)

    waiting = asyncio.create_task(second())
    await reserve(first, "k", 2)
    assert not waiting.done()
    await first.__aexit__(None, None, None)
    assert (await waiting)["cores"] == (0, 2)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough" * 40])
async def test_a_file_that_is_no_ledger_is_told(tmp_path, content):
    path = tmp_path / "q.sqlite"
    path.write_bytes(content)
    if content:
        with pytest.raises(LedgerUnavailable, match="cannot be opened"):
            async with SqliteLedger(path, ALL):
                pass
    else:
        async with SqliteLedger(path, ALL) as ledger:
            assert isinstance(await reserve(ledger, "k"), Lease)
    with pytest.raises(LedgerUnavailable):
        async with SqliteLedger(tmp_path / "no folder" / "q", ALL):
            pass


async def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path):
    async with SqliteLedger(tmp_path / "q", ALL):
        pass
    with sqlite3.connect(tmp_path / "q") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerUnavailable, match="schema 99"):
        async with SqliteLedger(tmp_path / "q", ALL):
            pass


async def test_the_history_cannot_be_changed(tmp_path):
    async with SqliteLedger(tmp_path / "q", ALL) as ledger:
        await reserve(ledger, "k")
        with sqlite3.connect(tmp_path / "q") as connection:
            for change in ("UPDATE entry SET amount = 0", "DELETE FROM entry"):
                with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                    connection.execute(change)


async def test_a_closed_ledger_grants_nothing(tmp_path):
    ledger = SqliteLedger(tmp_path / "q", ALL)
    with pytest.raises(LedgerUnavailable, match="closed"):
        await reserve(ledger, "k")
    async with ledger:
        pass
    with pytest.raises(LedgerUnavailable, match="closed"):
        await reserve(ledger, "k")


async def test_the_sweeper_ends_leases_by_itself(tmp_path):
    now = [1_000.0]
    async with SqliteLedger(tmp_path / "q", ALL, clock=lambda: now[0], sweep_seconds=0.02) as ledger:
        await reserve(ledger, "k", ttl=5)
        now[0] += 5
        async with asyncio.timeout(10):
            while len(await ledger.history("eo")) < 2:  # noqa: ASYNC110 - the sweeper tells nobody
                await asyncio.sleep(0.01)
        assert [entry.event for entry in await ledger.history("eo")] == ["reserve", "expire"]


async def test_what_is_too_old_is_forgotten(tmp_path):
    now = [1_700_000_000.0]
    async with SqliteLedger(tmp_path / "q", ALL, clock=lambda: now[0]) as ledger:
        await reserve(ledger, "k", what="harvest_bytes")
        await ledger.commit("k")
        now[0] += quotas.store.KEEP_SECONDS + 1
        await ledger.expire()
    with sqlite3.connect(tmp_path / "q") as connection:
        assert connection.execute("SELECT (SELECT count(*) FROM ended), (SELECT count(*) FROM spent)").fetchone() == (
            0,
            0,
        )
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == (2,)


async def test_refusals_and_shadow_refusals_are_told_to_the_observer(tmp_path):
    seen = []
    shadow = Policy(name="watch", group="eo", resource="cores", kind="concurrent", amount=1, mode="shadow")
    observer = lambda explanation, enforced: seen.append((explanation.policy, enforced))  # noqa: E731
    async with SqliteLedger(tmp_path / "q", [CORES, shadow], observer=observer) as ledger:
        assert isinstance(await reserve(ledger, "a", 2), Lease)
        assert isinstance(await reserve(ledger, "b", 1_001), Refusal)
        await ledger.check(ALICE, [Line(resource="cores", amount=5_000)])
    assert seen == [("watch", False), ("cores", True), ("watch", False)]


class Recorder:
    """A store that shows which jobs came together."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()

    def open(self):
        pass

    def apply(self, jobs):
        self.gate.wait(10)
        self.batches.append(len(jobs))
        for job in jobs:
            job.result = job.run(0.0)

    def close(self):
        pass


async def test_what_waits_is_written_together_and_what_is_cancelled_is_not_run():
    store, run = Recorder(), []
    async with GroupCommit(store, "test") as writer:
        first = asyncio.create_task(writer.call(("first",), lambda _: run.append("first")))
        async with asyncio.timeout(10):
            while not writer._jobs.empty():  # noqa: ASYNC110 - the queue is a thread's
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        rest = [asyncio.create_task(writer.call((f"{n}",), lambda _, n=n: run.append(n))) for n in range(10)]
        await asyncio.sleep(0)
        rest[3].cancel()
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(first, *rest, return_exceptions=True)
    assert 3 not in run
    assert len(run) == 10
    assert len(store.batches) <= 3


class Broken(Recorder):
    """A store with a defect."""

    def apply(self, jobs):
        raise RuntimeError("a defect")


async def test_a_defect_ends_the_batch_and_not_the_ledger(caplog):
    async with GroupCommit(Broken(), "test") as writer:
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="a defect"):
                await writer.call((), lambda _: None)
    assert "the ledger failed" in caplog.text
