"""Who holds what stands in the way, as far as the asker may see it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from gateway.principal import Principal
from gateway.quota.access import groups_of
from quotas.binding import covers, covers_edge
from quotas.errors import LedgerUnavailable
from quotas.model import Charge, Explanation, Held, Holders, Lease, Refusal

MOST = 10
"""So many holders are named, those with the most first."""


class Leases(Protocol):
    """What is held now."""

    async def leases(self, prefix: str = "") -> list[Lease]:
        """List the open leases: see :meth:`quotas.ledger.Ledger.leases`."""
        ...


async def with_holders(refusal: Refusal, principal: Principal, ledger: Leases) -> Refusal:
    """Return a refusal that names who holds what is limited at a time: see :func:`all_with_holders`."""
    [named] = await all_with_holders([refusal], principal, ledger)
    return named


async def all_with_holders(refusals: Sequence[Refusal], principal: Principal, ledger: Leases) -> Sequence[Refusal]:
    """Return refusals that name who holds what is limited at a time; as they are, where nothing such is in the way.

    The ledger is asked once for all. Where it cannot tell, nobody is named: the refusals hold all the same.
    """
    if not any(_unnamed(each) for refusal in refusals for each in refusal.violated):
        return refusals
    try:
        leases = await ledger.leases()
    except LedgerUnavailable:
        return refusals
    return [_named(refusal, leases, principal) for refusal in refusals]


def _named(refusal: Refusal, leases: Sequence[Lease], principal: Principal) -> Refusal:
    named = (
        msgspec.structs.replace(each, holders=holders_of(each, leases, principal)) if _unnamed(each) else each
        for each in refusal.violated
    )
    return msgspec.structs.replace(refusal, violated=tuple(named))


def holders_of(explanation: Explanation, leases: Iterable[Lease], principal: Principal) -> Holders:
    """Return who holds what a policy counts.

    Members see the users of their own groups and of those below, administrators all; everybody sees themselves.
    """
    group, _, user = explanation.group.partition("/~")
    seen: dict[Charge, float] = {}
    others = 0.0
    for lease in leases:
        charge = lease.charge
        if not covers(group, charge.group) or user not in ("", charge.user):
            continue
        amount = _amount(lease, explanation)
        if amount > 0 and _may_see(principal, charge):
            seen[charge] = seen.get(charge, 0.0) + amount
        else:
            others += amount
    ranked = sorted(seen.items(), key=lambda one: (-one[1], one[0].group, one[0].user))
    named = tuple(Held(group=charge.group, user=charge.user, amount=amount) for charge, amount in ranked[:MOST])
    return Holders(visible=named, others=others + sum(amount for _, amount in ranked[MOST:]))


def _unnamed(explanation: Explanation) -> bool:
    return explanation.kind == "concurrent" and explanation.holders is UNSET


def _amount(lease: Lease, explanation: Explanation) -> float:
    return sum(
        line.amount
        for line in lease.lines
        if line.resource == explanation.resource and covers_edge(explanation.edge, line.edge)
    )


def _may_see(principal: Principal, charge: Charge) -> bool:
    if principal.anonymous:
        return False
    own = charge.user == principal.user
    return own or principal.admin or any(covers(each, charge.group) for each in groups_of(principal))
