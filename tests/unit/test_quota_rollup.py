"""Sums of a history tell the same as the history itself."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples
from usage_by_entries import Levels, held_change, series

from quotas.binding import Fact
from quotas.model import Entry
from quotas.rollup import Steps, Sums, usage_points
from quotas.schema import QUERIES

NOW = 1_700_000_000.0
EVENTS = ("reserve", "release", "expire", "commit", "give-back", "policy")
moves = st.tuples(
    st.sampled_from(EVENTS),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["a", "b"]),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.5, 7.0, 40.0]),
)


def history(told, resource):
    """Make a possible history: nothing is given back that was not taken. Return it and what is held at its end."""
    entries: list[Entry] = []
    held: dict[Fact, float] = {}
    at = NOW
    for event, user, edge, wished, seconds in told:
        at += seconds
        fact = Fact("eo/coast", user, resource, edge)
        level = held.get(fact, 0.0)
        amount = min(wished, level) if event in ("release", "expire", "commit", "give-back") else wished
        kept = event == "commit" and resource == "storage_bytes"
        after = level if kept or event == "policy" else level - amount if event != "reserve" else level + amount
        before, after = (level, level) if event == "commit" else (level, after)
        entry = Entry(
            seq=len(entries) + 1,
            at=at,
            event=event,
            key="k",
            group=fact.group,
            user=user,
            resource=resource,
            edge=edge,
            amount=amount,
            before=before,
            after=after,
            why="",
        )
        entries.append(entry)
        held[fact] = level + held_change(entry)
    return entries, held


def summed(entries, resource, steps, *, group="eo", query="read_usage"):
    """Have SQLite sum the history up as the ledger does."""
    connection = sqlite3.connect(":memory:")
    columns = "seq, at, event, key, grp, user, resource, edge, amount, before, after, why"
    connection.execute(f"CREATE TABLE entry ({columns})")
    rows = [tuple(getattr(entry, name) for name in Entry.__struct_fields__) for entry in entries]
    connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    values = {
        "grp": group,
        "resource": resource,
        "after": 0,
        "last": 1 << 60,
        "since": steps.since,
        "until": steps.until,
        "step": steps.step,
        "total": steps.total,
        "kept": resource == "storage_bytes",
        "present": float("inf"),
    }
    return [Sums(*row) for row in connection.execute(QUERIES[query], values)]


@pytest.mark.parametrize("resource", ["cores", "storage_bytes", "core_hours"])
@given(told=st.lists(moves, max_size=30), begins=st.sampled_from([0.0, 13.0, 60.0]))
@examples(80)
def test_sums_tell_what_the_entries_tell(resource, told, begins) -> None:
    entries, held = history(told, resource)
    steps = Steps(NOW + begins, NOW + begins + 105.0, 25.0)
    asked = [entry for entry in entries if entry.at >= steps.since]
    expected = series(asked, Levels(resource, held), steps.since, steps.until, steps.step)
    points = usage_points(summed(asked, resource, steps), resource, held, steps)
    assert [(p.at, p.user, p.edge) for p in points] == [(p.at, p.user, p.edge) for p in expected]
    for point, right in zip(points, expected, strict=True):
        assert (point.used, point.held, point.peak) == pytest.approx((right.used, right.held, right.peak), abs=1e-5)


@given(told=st.lists(moves, max_size=30), begins=st.sampled_from([0.0, 13.0, 60.0]))
@examples(80)
def test_what_is_used_up_is_summed_without_an_order(told, begins) -> None:
    entries, held = history(told, "core_hours")
    steps = Steps(NOW + begins, NOW + begins + 105.0, 25.0)
    asked = [entry for entry in entries if entry.at >= steps.since]
    expected = usage_points(summed(asked, "core_hours", steps), "core_hours", held, steps)
    points = usage_points(summed(asked, "core_hours", steps, query="read_used"), "core_hours", held, steps)
    told_of = {(p.at, p.user, p.edge): (p.used, pytest.approx(p.held)) for p in points}
    for point in expected:
        if point.used or point.held:
            assert told_of[point.at, point.user, point.edge] == (point.used, point.held)


def test_another_groups_history_is_left_out() -> None:
    entries, held = history([("reserve", "alice", "a", 3, 1.0)], "cores")
    steps = Steps(NOW, NOW + 10, 5.0)
    assert summed(entries, "cores", steps, group="other") == []
    assert [row.user for row in summed(entries, "cores", steps, group="*")] == ["alice"]
    assert usage_points([], "cores", {}, steps) == []
    assert {point.peak for point in usage_points(summed(entries, "cores", steps), "cores", held, steps)} == {3}
