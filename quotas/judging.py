"""Judgements that are told: to an observer, and with a place in the line. No I/O, no clock."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from quotas.accounts import Accounts
from quotas.binding import Bound
from quotas.model import Explanation, Refusal
from quotas.rules import FITS, Verdict, evaluate, explain, refusal

Observer = Callable[[Explanation, bool], None]
"""Told of each refusal, and whether it was enforced (False: a policy that is in shadow, or degrades)."""

Demand = Iterable[tuple[Bound, float]]


class Judge:
    """Judges what is asked for against the accounts, and against who waits for the same."""

    def __init__(self, accounts: Accounts, observer: Observer | None) -> None:
        self._accounts = accounts
        self._observer = observer
        self.claimed: Mapping[tuple[str, str], int] = {}
        """The accounts that somebody in the line waits for, and how many do: nobody overtakes."""

    def judge(self, demand: Demand, now: float) -> tuple[Refusal | None, tuple[str, ...]]:
        """Say whether a reservation fits, and which policies that degrade it exceeds."""
        asked = demand if not self.claimed else list(demand)
        verdict = evaluate(asked, self._accounts, now)
        if verdict is FITS and not self.claimed:
            return None, ()
        self._tell(verdict)
        refused = refusal(verdict, now)
        if refused is None and self.claimed:
            refused = self._overtaking(asked, now)
        if refused is not None:
            refused = msgspec.structs.replace(refused, violated=tuple(map(self._placed, refused.violated)))
        return refused, tuple(each.policy for each in verdict.degraded)

    def refuse(self, demand: Demand, now: float) -> Refusal | None:
        """Say whether more of what is held already fits: that overtakes nobody."""
        verdict = evaluate(demand, self._accounts, now)
        self._tell(verdict)
        return refusal(verdict, now)

    def check(self, demand: Demand, now: float) -> Refusal | None:
        """Say what a reservation would be told, and tell no observer."""
        asked = list(demand)
        refused = refusal(evaluate(asked, self._accounts, now), now)
        if refused is None and self.claimed:
            refused = self._overtaking(asked, now)
        if refused is None:
            return None
        return msgspec.structs.replace(refused, violated=tuple(map(self._placed, refused.violated)))

    def _tell(self, verdict: Verdict) -> None:
        if self._observer is not None:
            for explanation in verdict.violated:
                self._observer(explanation, True)
            for explanation in (*verdict.degraded, *verdict.shadow):
                self._observer(explanation, False)

    def _placed(self, explanation: Explanation) -> Explanation:
        """Say which place in the line the request would have, where it can wait."""
        if explanation.on_exceed != "queue":
            return explanation
        ahead = self.claimed.get((explanation.policy, explanation.group), 0)
        return msgspec.structs.replace(explanation, position=ahead + 1)

    def _overtaking(self, demand: Demand, now: float) -> Refusal | None:
        """Refuse what would fit, but that somebody in the line waits for."""
        waited_for = [(bound, amount) for bound, amount in demand if bound.key in self.claimed and amount > 0]
        if not waited_for:
            return None
        told = (explain(bound, amount, self._accounts, now) for bound, amount in waited_for)
        return Refusal(violated=tuple(msgspec.structs.replace(each, admissible=0.0) for each in told))
