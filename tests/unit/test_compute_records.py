import asyncio

import msgspec
import pytest

from gateway.records import RecordsUnavailable
from gateway.records_sqlite import SqliteRecordTable as RecordTable


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    value: int = 0


async def test_values_are_there_again_after_closing(tmp_path) -> None:
    path = tmp_path / "state" / "things.sqlite"
    async with RecordTable(path, Thing) as table:
        await table.put(Thing(id="a", value=1))
        await table.put(Thing(id="b"))
        await table.put(Thing(id="a", value=2))
        await table.delete("b")
        await table.delete("never")
    async with RecordTable(path, Thing) as table:
        assert list(table) == [Thing(id="a", value=2)]
        assert table.get("b") is None
    assert path.stat().st_mode & 0o077 == 0


async def test_the_table_may_change_while_it_is_read(tmp_path) -> None:
    async with RecordTable(tmp_path / "t.sqlite", Thing) as table:
        await table.put(Thing(id="a"))
        for thing in table:
            await table.delete(thing.id)
        assert list(table) == []


async def test_a_lock_is_one_holders_and_shows_what_is_there_then(tmp_path) -> None:
    async with RecordTable(tmp_path / "t.sqlite", Thing) as table:
        await table.put(Thing(id="a"))

        async def add() -> None:
            async with table.locked("a") as thing:
                assert thing is not None
                await asyncio.sleep(0)
                await table.put(Thing(id="a", value=thing.value + 1))

        await asyncio.gather(*(add() for _ in range(20)))
        assert table.get("a") == Thing(id="a", value=20)
        async with table.locked("missing") as nothing:
            assert nothing is None


async def test_a_file_that_is_no_table_is_told_by_name(tmp_path) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(b"this is not a database, though it is long enough to be looked at" * 20)
    with pytest.raises(RecordsUnavailable, match=r"t\.sqlite"):
        async with RecordTable(path, Thing):
            pass
