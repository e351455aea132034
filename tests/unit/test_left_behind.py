"""A gateway that is told to share a database does not forget in silence what its own files hold."""

import sqlite3

import pytest

from edges.settings import Secret
from gateway.left_behind import LeftBehind, check_nothing_left_behind, left_behind
from gateway.orders.model import Staging
from gateway.records_sqlite import SqliteRecordTable
from gateway.settings import QuotaSettings, ServerSettings, Settings
from harvest.database_sqlite import SqliteDatabase
from harvest.sql import migrations

ORDER = (
    "INSERT INTO orders (id, user, charged, fingerprint, request, target, state, created, updated, settled)"
    " VALUES (?, 'u', 'g', 'f', '{}', 'edge-a', 'ACTIVE', 0, 0, ?)"
)
RULE = (
    "INSERT INTO rules (id, name, user, charged, fingerprint, request, state, created, updated)"
    " VALUES (?, 'n', 'u', 'g', 'f', ?, ?, 0, 0)"
)


def of_release(file, number):
    """Make a file of harvests as a release with so many migrations left it."""
    raw = sqlite3.connect(file)
    for script in migrations()[:number]:
        raw.executescript(script)
    raw.execute(f"PRAGMA user_version = {number}")
    raw.commit()
    return raw


def shared(tmp_path):
    return Settings(
        server=ServerSettings(state=str(tmp_path)), quotas=QuotaSettings(database=Secret(file=str(tmp_path / "dsn")))
    )


def test_an_empty_folder_and_one_that_is_not_there_leave_nothing_behind(tmp_path):
    assert left_behind(tmp_path) == []
    assert left_behind(tmp_path / "none") == []
    check_nothing_left_behind(shared(tmp_path))


async def test_files_in_which_all_is_done_leave_nothing_behind(tmp_path):
    async with SqliteDatabase(tmp_path / "harvest.sqlite"), SqliteRecordTable(tmp_path / "stagings.sqlite", Staging):
        pass
    with sqlite3.connect(tmp_path / "harvest.sqlite") as raw:
        raw.execute(ORDER, ("done", 1))
        raw.execute(RULE, ("over", '{"mode": "standing"}', "CANCELLED"))
    raw.close()
    check_nothing_left_behind(shared(tmp_path))


@pytest.mark.parametrize("release", range(1, len(migrations()) + 1))
def test_orders_that_are_not_done_are_told_whichever_release_left_them(tmp_path, release):
    raw = of_release(tmp_path / "harvest.sqlite", release)
    raw.execute(ORDER, ("a", 0))
    raw.execute(ORDER, ("b", 0))
    raw.commit()
    raw.close()
    with pytest.raises(LeftBehind, match=r"2 harvest orders that are not done.*without quotas\.database"):
        check_nothing_left_behind(shared(tmp_path))


def test_standing_rules_and_copies_that_have_an_end_are_told(tmp_path):
    raw = of_release(tmp_path / "harvest.sqlite", len(migrations()))
    raw.execute(ORDER, ("a", 1))
    raw.execute("UPDATE orders SET copies_until = 1e12")
    raw.execute(RULE, ("r", '{"mode": "standing"}', "ACTIVE"))
    raw.commit()
    raw.close()
    assert left_behind(tmp_path) == [
        "harvest.sqlite: 1 harvest orders whose copies have an end",
        "harvest.sqlite: 1 standing harvest rules",
    ]


async def test_orders_of_data_under_way_are_told(tmp_path):
    staging = Staging(
        id="1",
        site="hub",
        collection="c",
        parameters={},
        made_at=0,
        changed_at=0,
        due_at=0,
        ends_at=1,
        status="shipping",
    )
    async with SqliteRecordTable(tmp_path / "stagings.sqlite", Staging) as table:
        await table.put(staging)
    assert left_behind(tmp_path) == ["stagings.sqlite: 1 orders of data"]


def test_a_file_that_cannot_be_read_is_no_reason_to_go_on(tmp_path):
    (tmp_path / "harvest.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(LeftBehind, match=r"harvest\.sqlite: it cannot be read"):
        check_nothing_left_behind(shared(tmp_path))


def test_a_gateway_with_files_of_its_own_is_asked_nothing(tmp_path):
    (tmp_path / "harvest.sqlite").write_bytes(b"not a database" * 100)
    check_nothing_left_behind(Settings(server=ServerSettings(state=str(tmp_path))))
