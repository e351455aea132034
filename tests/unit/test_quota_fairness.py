"""The fair order, the replay of histories and usage over time, by their properties."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_by_entries import Levels, series

from quotas.binding import Fact
from quotas.errors import InvalidAmount
from quotas.fairness import HALF_LIFE_SECONDS, MAX_PRIORITY, decayed, in_order, used_more
from quotas.journal import Share, Waiting
from quotas.model import Charge, Entry, Line
from quotas.replay import HistoryBroken, Replayed, checkpoint_rows, from_checkpoint, horizon_of, replay
from quotas.series import check_steps
from quotas.windows import bucket_frees_at, bucket_of

NOW = 1_700_000_000.0
USERS = ["alice", "bob", "carol"]


def waiting(user, since, priority=0.0, key=None):
    return Waiting(
        key=key or f"{user}-{since}",
        charge=Charge(group="eo", user=user),
        lines=(Line(resource="cores", amount=1),),
        ttl=60,
        priority=priority,
        since=since,
        expires_at=since + 60,
        why="",
    )


def order(line, usage=None, now=NOW, weight=1.0):
    shares = {("eo", user): Share(amount=amount, at=NOW) for user, amount in (usage or {}).items()}
    return [each.charge.user for each in in_order(line, shares, {"eo": weight}, now)]


def test_who_came_first_goes_first_unless_usage_or_priority_say_otherwise():
    line = [waiting("alice", NOW - 100), waiting("bob", NOW - 50)]
    assert order(line) == ["alice", "bob"]
    assert order(line, {"alice": 51}) == ["bob", "alice"]
    assert order(line, {"alice": 51}, weight=2.0) == ["alice", "bob"]
    assert order([*line, waiting("carol", NOW, priority=101)]) == ["carol", "alice", "bob"]


def test_usage_counts_half_after_a_week():
    share = used_more(None, 800, NOW)
    assert decayed(share, NOW + HALF_LIFE_SECONDS) == pytest.approx(400)
    assert used_more(share, -1_000, NOW).amount == 0
    assert decayed(share, NOW - 1e6) == 800


@settings(max_examples=60, deadline=None)
@given(
    usage=st.dictionaries(st.sampled_from(USERS), st.floats(0, 1e6)),
    others=st.lists(st.tuples(st.sampled_from(USERS[1:]), st.floats(0, MAX_PRIORITY)), max_size=20),
)
def test_nobody_starves_whatever_others_bring_with_them(usage, others):
    """After its own usage and the largest priority in seconds, nobody who comes later is before it."""
    patience = usage.get("alice", 0.0) + MAX_PRIORITY + 1
    late = [waiting(user, NOW + patience, priority, key=f"{n}") for n, (user, priority) in enumerate(others)]
    assert order([waiting("alice", NOW), *late], usage, now=NOW + patience)[0] == "alice"


def entry(seq, event, key, before, after, amount, *, at=NOW, resource="storage_bytes"):
    return Entry(
        seq=seq,
        at=at,
        event=event,
        key=key,
        group="eo",
        user="alice",
        resource=resource,
        edge="*",
        amount=amount,
        before=before,
        after=after,
        why="",
    )


FACT = Fact("eo", "alice", "storage_bytes", "*")
HISTORY = [
    entry(1, "reserve", "a", 0, 10, 10),
    entry(2, "reserve", "b", 10, 15, 5),
    entry(3, "commit", "a", 15, 12, 7),
    entry(4, "policy", "p", 3, 4, 4),
    entry(5, "give-back", "g", 12, 10, 2),
    entry(6, "expire", "b", 10, 5, 5),
    entry(7, "reserve", "c", 5, 6, 1),
]


def test_a_history_adds_up_from_its_beginning_and_from_any_checkpoint():
    whole = replay(HISTORY, spans=[600])
    assert (whole.open, whole.kept, whole.taken(FACT)) == ({"c": {FACT: 1}}, {FACT: 5}, 6)
    assert whole.spent == {(FACT, 600, bucket_of(600, NOW)): 7}
    for cut in range(len(HISTORY)):
        early = replay(HISTORY[:cut], Replayed())
        rest = replay(HISTORY[cut:], from_checkpoint(early.seq, checkpoint_rows(early)))
        assert (rest.open, rest.kept) == (whole.open, whole.kept)


@pytest.mark.parametrize(
    "broken", [HISTORY[1:], [HISTORY[0], HISTORY[2]], [HISTORY[0], entry(2, "reserve", "b", 9, 14, 5)]]
)
def test_a_history_with_a_gap_or_a_lie_is_told(broken):
    with pytest.raises(HistoryBroken):
        replay(broken)


def test_what_a_window_still_counts_is_not_forgotten():
    assert horizon_of(NOW, 100, []) == NOW - 100
    assert horizon_of(NOW, 100, [6_000]) == NOW - 6_100


def test_months_are_buckets_of_their_own():
    january = bucket_of(-1, 1_706_700_000.0)
    assert bucket_of(-1, 1_706_745_600.0) == january + 1
    assert bucket_frees_at(-1, january) == 1_706_745_600.0


def test_levels_are_told_back_from_the_present():
    history = [
        entry(1, "reserve", "a", 0, 4, 4, at=NOW, resource="cores"),
        entry(2, "commit", "a", 4, 4, 4, at=NOW + 30, resource="cores"),
        entry(3, "reserve", "b", 4, 6, 2, at=NOW + 60, resource="cores"),
    ]
    fact = Fact("eo", "alice", "cores", "*")
    told = series(history, Levels("cores", {fact: 2.0}), NOW, NOW + 90, 30)
    assert [(p.at - NOW, p.used, p.held, p.peak) for p in told] == [(0, 0, 4, 4), (30, 4, 0, 0), (60, 0, 2, 2)]


@pytest.mark.parametrize("steps", [(0, 0, 1), (0, 10, 0), (0, 1e9, 1), (0, float("nan"), 1)])
def test_steps_that_are_none_or_too_many_are_refused(steps):
    with pytest.raises(InvalidAmount):
        check_steps(*steps)
