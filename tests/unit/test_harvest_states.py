"""The tables of states: complete, without dead ends, and closed against what they do not have."""

from typing import get_args

import pytest

from harvest.model import ObjectState, OrderState
from harvest.states import (
    ENDED_ORDERS,
    OBJECTS,
    ORDERS,
    SETTLED_OBJECTS,
    ImpossibleTransition,
    ObjectEvent,
    OrderEvent,
    object_after,
    order_after,
)


@pytest.mark.parametrize("state", get_args(OrderState))
@pytest.mark.parametrize("event", get_args(OrderEvent))
def test_an_order_changes_as_its_table_says_or_not_at_all(state, event):
    if (state, event) in ORDERS:
        assert order_after(state, event) == ORDERS[state, event]
    else:
        with pytest.raises(ImpossibleTransition, match=event):
            order_after(state, event)


@pytest.mark.parametrize("state", get_args(ObjectState))
@pytest.mark.parametrize("event", get_args(ObjectEvent))
def test_an_object_changes_as_its_table_says_or_not_at_all(state, event):
    if (state, event) in OBJECTS:
        assert object_after(state, event) == OBJECTS[state, event]
    else:
        with pytest.raises(ImpossibleTransition, match=event):
            object_after(state, event)


def reachable(table, start):
    found = {start}
    while more := {after for (state, _), after in table.items() if state in found} - found:
        found |= more
    return found


def test_every_state_can_be_reached():
    assert reachable(ORDERS, "PENDING_ESTIMATE") == set(get_args(OrderState))
    assert reachable(OBJECTS, "WANTED") == set(get_args(ObjectState))


def test_every_order_can_end_and_every_object_can_settle_or_be_dropped():
    for state in get_args(OrderState):
        assert reachable(ORDERS, state) & ENDED_ORDERS
    for state in get_args(ObjectState):
        assert reachable(OBJECTS, state) & (SETTLED_OBJECTS | {"DELETING"})


def test_an_object_becomes_available_only_after_it_was_checked():
    assert {state for (state, _), after in OBJECTS.items() if after == "AVAILABLE"} == {"VERIFYING"}
