"""Who holds what stands in the way, as far as the asker may see it. Pure."""

from collections.abc import Iterable

from edges.model import Json
from gateway.principal import Principal
from gateway.quota.access import groups_of
from quotas.binding import covers, covers_edge
from quotas.model import Charge, Explanation, Lease

MOST = 10
"""So many holders are named, those with the most first."""


def holders_of(explanation: Explanation, leases: Iterable[Lease], principal: Principal) -> Json:
    """Return who holds what a policy counts: ``visible`` by user, and what all ``others`` hold together.

    Members see the users of their own groups and of those below; everybody sees themselves.
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
    named = [{"group": charge.group, "user": charge.user, "amount": amount} for charge, amount in ranked[:MOST]]
    return {"visible": named, "others": others + sum(amount for _, amount in ranked[MOST:])}


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
