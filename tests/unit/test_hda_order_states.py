"""How orders move on: forward, and to one end."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.ordering.model import OrderReport, OrderStatus
from gateway.orders.model import ENDED, Staging, digest_of
from gateway.orders.states import LONGEST_PAUSE, advanced, ended, held, overdue, pause_of, postponed, usable

STAGING = Staging(
    id="s", site="cds", collection="c", parameters={}, made_at=0.0, changed_at=0.0, due_at=0.0, ends_at=100.0
)
WORDS: list[OrderStatus] = ["ordered", "shipping", "succeeded", "failed", "canceled"]
RANK = {"ordered": 0, "shipping": 1, "succeeded": 2, "failed": 2, "canceled": 2}


def report(status: OrderStatus) -> OrderReport:
    return OrderReport(status=status, handle={"href": "x"}, item={"id": "x"} if status == "succeeded" else None)


@examples(100, slow=True)
@given(st.lists(st.sampled_from([*WORDS, "unreachable"]), max_size=12))
def test_no_word_of_a_provider_moves_an_order_back_or_beyond_its_end(words: list[str]) -> None:
    staging, now = STAGING, 0.0
    for word in words:
        now += 1.0
        before = staging
        if word == "unreachable":
            staging = postponed(staging, reason="down", now=now) if not staging.ended else staging
        else:
            told = next(each for each in WORDS if each == word)
            staging = advanced(staging, report=report(told), now=now, keep_seconds=50.0)
        assert RANK[staging.status] >= RANK[before.status]
        assert not before.ended or staging.status == before.status
        assert (staging.item is not None) == (staging.status == "succeeded")
        assert staging.ended == (staging.status in ENDED)


def test_a_provider_is_asked_later_and_later_while_nothing_changes() -> None:
    pauses = [pause_of(asked) for asked in range(30)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    slow = advanced(STAGING, report=OrderReport(status="ordered", handle={}, pause=60.0), now=1.0, keep_seconds=9.0)
    assert slow.due_at == 61.0
    assert advanced(slow, report=report("shipping"), now=70.0, keep_seconds=9.0).asked == 0


def test_one_asks_at_a_time_and_only_when_it_is_due() -> None:
    mine = held(STAGING, "me", 1.0, seconds=10.0)
    assert mine is not None
    assert held(mine, "you", 5.0, seconds=10.0) is None
    assert held(mine, "you", 12.0, seconds=10.0) is not None
    assert held(msgspec.structs.replace(STAGING, due_at=9.0), "me", 1.0, seconds=10.0) is None
    over = ended(STAGING, "failed", reason="no", now=1.0, keep_seconds=5.0)
    assert held(over, "me", 2.0, seconds=10.0) is None


def test_what_failed_serves_nobody_else_and_what_is_old_neither() -> None:
    assert usable(STAGING, 1.0)
    assert not usable(ended(STAGING, "failed", reason="no", now=1.0, keep_seconds=5.0), 2.0)
    done = advanced(STAGING, report=report("succeeded"), now=1.0, keep_seconds=5.0)
    assert usable(done, 2.0)
    assert overdue(done, 6.0)
    assert not usable(done, 6.0)


def test_the_same_data_has_one_digest_whatever_the_order_of_its_parameters() -> None:
    assert digest_of("s", "c", {"a": 1, "b": [2]}) == digest_of("s", "c", {"b": [2], "a": 1})
    assert digest_of("s", "c", {"a": 1}) != digest_of("s", "c", {"a": 2})
