"""The orders' database of either engine for the tests of its acts, and rows as these find them."""

import uuid

import pytest

from harvest import claims
from harvest.database_postgres import PostgresDatabase
from harvest.database_sqlite import SqliteDatabase

REQUEST = '{"query": {"collections": ["s2"]}, "target": "edge-a"}'
ROW = {
    "user": "ann", "charged": "root/team", "idempotency": None, "fingerprint": "f", "request": "{}", "target": "edge-a",
    "rule": None, "content": "data", "priority": 3, "lifetime": None,
}  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database(request, tmp_path):
    """Open the same database, again and again."""
    if request.param == "sqlite":
        return lambda: SqliteDatabase(tmp_path / "harvest.sqlite", busy_seconds=5)
    return shared(request.getfixturevalue("postgresql"))


def shared(dsn):
    schema = f"harvest_{uuid.uuid4().hex[:12]}"
    return lambda: PostgresDatabase(dsn, schema=schema)


def take_in(connection, order_id, now=1.0, **changes):
    connection.change("order_insert", id=order_id, now=now, until=now, **ROW | changes)
    return order_id


def want(connection, order_id, key, **changes):
    """Let an order that works want an object."""
    plan = {"order_id": order_id, "seq": 1}
    connection.change("planned_insert", order_id=order_id, rows=claims.as_rows([("{}", "[]", 1, 10, "s2", key)]))
    connection.change("items_keep", target="edge-a", **plan)
    item = connection.one("planned_items", target="edge-a", **plan)["item"]
    connection.change("planned_done_to", **plan)
    values = {"media_type": "", "sources": "[]", "size": 10, "checksum": None, "version": "v"} | changes
    told = claims.as_rows([(key, item, "data", *values.values())])
    common = {"target": "edge-a", "payer": order_id, "integrity": "prefer"}
    connection.change("objects_insert", rows=told, **common)
    made = connection.one("object_by_key", target="edge-a", key=key)["id"]
    connection.change("object_link", order_id=order_id, object=made, estimate=10, reserved=10)
    return made


def active(connection, order_id):
    values = {"message": "", "now": 2.0, "retry_at": 0.0, "ended": False}
    connection.change("order_state", id=order_id, before="PENDING_ESTIMATE", after="ACTIVE", **values)
