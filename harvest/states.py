"""The states of orders and objects and every allowed transition, as tables. Pure.

Whoever changes a state goes through :func:`order_after` or :func:`object_after`; a missing entry is an error.
"""

from typing import Literal

from harvest.model import ObjectState, OrderState

OrderEvent = Literal[
    "admitted",
    "refused",
    "approval-needed",
    "approved",
    "completed",
    "failed",
    "cancel",
    "suspend",
    "resume",
    "quota-lost",
    "quota-regained",
    "expire",
    "retry",
]
RuleEvent = Literal[
    "estimated",
    "approval-needed",
    "approve",
    "quota-lost",
    "ran",
    "fail",
    "suspend",
    "resume",
    "complete",
    "expire",
    "cancel",
    "retry",
    "change",
]
ObjectEvent = Literal[
    "claim",
    "begin",
    "hold",
    "check",
    "publish",
    "spoiled",
    "no-source",
    "give-up-claim",
    "want-again",
    "drop",
]

ORDERS: dict[tuple[OrderState, OrderEvent], OrderState] = {
    ("PENDING_ESTIMATE", "admitted"): "ACTIVE",
    ("PENDING_ESTIMATE", "refused"): "CANCELLED",
    ("PENDING_ESTIMATE", "approval-needed"): "WAITING_APPROVAL",
    ("PENDING_ESTIMATE", "cancel"): "CANCELLED",
    ("PENDING_ESTIMATE", "quota-lost"): "WAITING_QUOTA",
    ("WAITING_APPROVAL", "approved"): "ACTIVE",
    ("WAITING_APPROVAL", "quota-lost"): "WAITING_QUOTA",
    ("WAITING_APPROVAL", "cancel"): "CANCELLED",
    ("WAITING_APPROVAL", "expire"): "EXPIRED",
    ("WAITING_QUOTA", "quota-regained"): "ACTIVE",
    ("WAITING_QUOTA", "cancel"): "CANCELLED",
    ("WAITING_QUOTA", "expire"): "EXPIRED",
    ("ACTIVE", "completed"): "OK",
    ("ACTIVE", "failed"): "STUCK",
    ("ACTIVE", "quota-lost"): "WAITING_QUOTA",
    ("ACTIVE", "suspend"): "SUSPENDED",
    ("ACTIVE", "cancel"): "CANCELLED",
    ("STUCK", "retry"): "ACTIVE",
    ("STUCK", "cancel"): "CANCELLED",
    ("STUCK", "expire"): "EXPIRED",
    ("SUSPENDED", "resume"): "ACTIVE",
    ("SUSPENDED", "cancel"): "CANCELLED",
    ("SUSPENDED", "expire"): "EXPIRED",
    ("OK", "cancel"): "CANCELLED",  # dismissed by its owner; the copies stay
    ("OK", "expire"): "EXPIRED",
}

OBJECTS: dict[tuple[ObjectState, ObjectEvent], ObjectState] = {
    ("WANTED", "claim"): "CLAIMED",
    ("ORDERED", "claim"): "CLAIMED",
    ("CLAIMED", "claim"): "CLAIMED",  # the claim of a dead worker, taken over
    ("TRANSFERRING", "claim"): "TRANSFERRING",
    ("VERIFYING", "claim"): "VERIFYING",
    ("DELETING", "claim"): "DELETING",
    ("CLAIMED", "begin"): "TRANSFERRING",
    ("TRANSFERRING", "begin"): "TRANSFERRING",
    ("VERIFYING", "begin"): "TRANSFERRING",  # the store refused what was checked: once more, another way
    ("CLAIMED", "hold"): "ORDERED",
    ("TRANSFERRING", "hold"): "ORDERED",
    ("CLAIMED", "check"): "VERIFYING",
    ("TRANSFERRING", "check"): "VERIFYING",
    ("VERIFYING", "check"): "VERIFYING",
    ("VERIFYING", "publish"): "AVAILABLE",
    ("CLAIMED", "spoiled"): "BAD",
    ("TRANSFERRING", "spoiled"): "BAD",
    ("VERIFYING", "spoiled"): "BAD",
    ("CLAIMED", "no-source"): "NO_SOURCE",
    ("TRANSFERRING", "no-source"): "NO_SOURCE",
    ("VERIFYING", "no-source"): "NO_SOURCE",
    ("CLAIMED", "give-up-claim"): "WANTED",
    ("TRANSFERRING", "give-up-claim"): "WANTED",
    ("VERIFYING", "give-up-claim"): "WANTED",
    **{(state, "want-again"): "WANTED" for state in ("WANTED", "ORDERED", "CLAIMED", "TRANSFERRING", "VERIFYING")},
    ("AVAILABLE", "want-again"): "WANTED",
    ("BAD", "want-again"): "WANTED",
    ("NO_SOURCE", "want-again"): "WANTED",
    ("DELETING", "want-again"): "WANTED",
    **{(state, "drop"): "DELETING" for state in ("WANTED", "ORDERED", "CLAIMED", "TRANSFERRING", "VERIFYING")},
    ("AVAILABLE", "drop"): "DELETING",  # nobody counts on the copy any more
}

_LIVING: tuple[OrderState, ...] = (
    "PENDING_ESTIMATE", "WAITING_APPROVAL", "WAITING_QUOTA", "ACTIVE", "OK", "STUCK", "SUSPENDED",
)  # fmt: skip

RULES: dict[tuple[OrderState, RuleEvent], OrderState] = {
    ("PENDING_ESTIMATE", "estimated"): "ACTIVE",
    ("PENDING_ESTIMATE", "approval-needed"): "WAITING_APPROVAL",
    ("PENDING_ESTIMATE", "fail"): "STUCK",
    ("WAITING_APPROVAL", "approve"): "ACTIVE",
    **{(state, "quota-lost"): "WAITING_QUOTA" for state in ("ACTIVE", "OK", "STUCK", "WAITING_QUOTA")},
    **{(state, "ran"): "ACTIVE" for state in ("ACTIVE", "OK", "STUCK", "WAITING_QUOTA")},
    **{(state, "fail"): "STUCK" for state in ("ACTIVE", "OK", "STUCK", "WAITING_QUOTA")},
    ("ACTIVE", "complete"): "OK",
    ("OK", "complete"): "OK",
    ("STUCK", "complete"): "OK",
    **{(state, "suspend"): "SUSPENDED" for state in ("ACTIVE", "OK", "STUCK", "WAITING_QUOTA")},
    ("SUSPENDED", "resume"): "ACTIVE",
    **{(state, "retry"): "ACTIVE" for state in ("STUCK", "WAITING_QUOTA", "OK")},
    **{(state, "change"): "PENDING_ESTIMATE" for state in _LIVING},
    **{(state, "cancel"): "CANCELLED" for state in _LIVING},
    **{(state, "expire"): "EXPIRED" for state in _LIVING},
}
"""ACTIVE: copying. OK: all that was found is there; a standing rule looks again at its next run.

A change of what is wanted is estimated, and where it is large approved, anew.
"""

SETTLED_OBJECTS: frozenset[ObjectState] = frozenset({"AVAILABLE", "BAD", "NO_SOURCE"})
"""Nothing more happens to an object in these states by itself."""

ENDED_ORDERS: frozenset[OrderState] = frozenset({"OK", "STUCK", "CANCELLED", "EXPIRED"})
"""Orders that are over, as far as their owner is told."""


class ImpossibleTransition(Exception):
    """A state was asked to change in a way that its table does not have."""

    status = 409
    title = "Not possible in this state"


def order_after(state: OrderState, event: OrderEvent) -> OrderState:
    """Return the next state of an order.

    >>> order_after("ACTIVE", "completed")
    'OK'
    """
    try:
        return ORDERS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"an order in state {state} cannot {event}") from None


def rule_after(state: OrderState, event: RuleEvent) -> OrderState:
    """Return the next state of a rule.

    >>> rule_after("ACTIVE", "complete")
    'OK'
    """
    try:
        return RULES[state, event]
    except KeyError:
        raise ImpossibleTransition(f"a rule in state {state} cannot {event}") from None


def object_after(state: ObjectState, event: ObjectEvent) -> ObjectState:
    """Return the next state of an object.

    >>> object_after("WANTED", "claim")
    'CLAIMED'
    """
    try:
        return OBJECTS[state, event]
    except KeyError:
        raise ImpossibleTransition(f"an object in state {state} cannot {event}") from None
