"""Policies and grants, as they are changed while the house runs. No I/O, no clock.

A change is written like any other; then the store builds its book anew, under what holds from now on.
"""

from collections.abc import Iterable

from quotas.binding import PolicySet
from quotas.errors import InvalidPolicies, KeyReused, UnknownGrant, UnknownPolicy
from quotas.journal import Journal, PolicyPlace
from quotas.model import Policy
from quotas.records import Grant, StoredPolicy

CONFIGURATION = "configuration"
"""Who changed a policy, as the history tells it, where it was the configuration file."""


class Office:
    """All policies, the configured ones and the administrators', and the grants."""

    def __init__(self, stored: Iterable[StoredPolicy] = (), grants: Iterable[Grant] = ()) -> None:
        self._stored = {(each.source, each.policy.name): each for each in stored}
        self._grants = {grant.id: grant for grant in grants}
        self.policies = self._made()

    def _made(self) -> PolicySet:
        return PolicySet([each.policy for each in self.holding()], self._grants.values())

    def holding(self) -> list[StoredPolicy]:
        """Return the policies that hold, by name: an administrator's before a configured one."""
        found = {name: each for (source, name), each in self._stored.items() if source == "configuration"}
        found |= {name: each for (source, name), each in self._stored.items() if source == "administrator"}
        return [found[name] for name in sorted(found)]

    def granted(self, now: float) -> list[Grant]:
        """Return the grants that are not over, by id."""
        return [grant for _, grant in sorted(self._grants.items()) if grant.expires_at > now]

    # Changes. Each returns whether anything changed; an invalid one changes nothing.

    def configure(self, policies: Iterable[Policy], journal: Journal) -> bool:
        """Replace the configured policies."""
        wanted: dict[PolicyPlace, StoredPolicy] = {}
        for policy in policies:
            place: PolicyPlace = ("configuration", policy.name)
            if place in wanted:
                raise InvalidPolicies(f"policy name {policy.name!r} is used twice")
            wanted[place] = StoredPolicy(policy=policy, source="configuration")
        before = {place: each for place, each in self._stored.items() if place[0] == "configuration"}
        changes: dict[PolicyPlace, StoredPolicy | None] = {place: None for place in before if place not in wanted}
        changes |= {place: each for place, each in wanted.items() if before.get(place) != each}
        return self._change(changes, journal)

    def put(self, policy: Policy, journal: Journal, stored: StoredPolicy) -> bool:
        """Add or replace an administrator's policy; the same again changes nothing."""
        before = self._stored.get(("administrator", policy.name))
        if before is not None and (before.policy, before.by, before.why) == (policy, stored.by, stored.why):
            return False
        return self._change({("administrator", policy.name): stored}, journal)

    def delete(self, name: str, journal: Journal) -> bool:
        """Delete an administrator's policy."""
        if ("administrator", name) not in self._stored:
            raise UnknownPolicy(
                f"no policy {name!r} was put by an administrator"
                + ("; it is in the configuration" if ("configuration", name) in self._stored else "")
            )
        return self._change({("administrator", name): None}, journal)

    def _change(self, changes: dict[PolicyPlace, StoredPolicy | None], journal: Journal) -> bool:
        before = dict(self._stored)
        for place, each in changes.items():
            if each is None:
                self._stored.pop(place, None)
            else:
                self._stored[place] = each
        try:
            self.policies = self._made()
        except InvalidPolicies:
            self._stored = before
            raise
        journal.policies |= changes
        return bool(changes)

    def amount(self, name: str) -> float:
        """Return the limit of a policy that holds; 0 where there is none."""
        return next((policy.amount for policy in self.policies.policies if policy.name == name), 0.0)

    def raise_limit(self, grant: Grant, now: float, journal: Journal) -> bool:
        """Add a grant."""
        known = self._grants.get(grant.id)
        if known is not None:
            if known != grant:
                raise KeyReused(f"another grant has the id {grant.id!r}")
            return False
        policy = self.named(grant.policy)
        if policy.kind == "rate":
            raise InvalidPolicies(f"policy {policy.name!r} is a rate: put a higher one for a while instead")
        if grant.expires_at <= now:
            raise InvalidPolicies(f"grant {grant.id!r} is over already")
        self._grants[grant.id] = journal.grants[grant.id] = grant
        return True

    def end_grant(self, grant_id: str, now: float, journal: Journal) -> Grant:
        """End a grant early; return it."""
        grant = self._grants.get(grant_id)
        if grant is None or grant.expires_at <= now:
            raise UnknownGrant(f"there is no grant {grant_id!r}, or it is over")
        del self._grants[grant_id]
        journal.grants[grant_id] = None
        return grant

    def named(self, name: str) -> Policy:
        """Return the policy of this name that holds."""
        for policy in self.policies.policies:
            if policy.name == name:
                return policy
        raise UnknownPolicy(f"there is no policy {name!r}")


def differences(before: Iterable[Policy], after: Iterable[Policy]) -> list[tuple[Policy, float, float]]:
    """Return the policies that hold otherwise than before, by name, each with its limit before and after (0: none)."""
    old = {policy.name: policy for policy in before}
    new = {policy.name: policy for policy in after}
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return [
        (
            new.get(name) or old[name],
            old[name].amount if name in old else 0.0,
            new[name].amount if name in new else 0.0,
        )
        for name in changed
    ]
