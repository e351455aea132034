"""The RateLimit fields of successful answers (draft-ietf-httpapi-ratelimit-headers). Pure.

They are told from what charging knows already: a client sees its limit come nearer before it is refused.
"""

import functools
import math
from collections.abc import Iterable

from edges.model import Frozen
from quotas.model import Usage

UNITS = {"requests": "", "egress_bytes": "content-bytes"}
"""The resources that the draft has a quota unit (``qu``) for; its default is requests."""
_LARGEST_INTEGER = 999_999_999_999_999
"""The largest integer of a structured field (RFC 9651 section 3.3.1)."""
MOST = 8
"""So many policies are told, the fullest first."""


class Remaining(Frozen):
    """What one policy leaves a charge. ``window`` in seconds; ``per_second`` is how fast a rate comes free."""

    policy: str
    resource: str
    limit: float
    remaining: float
    window: int = 0
    per_second: float = 0.0

    def less(self, amount: float) -> "Remaining":
        """Return what is left after an amount more was taken."""
        return Remaining(
            policy=self.policy,
            resource=self.resource,
            limit=self.limit,
            remaining=max(0.0, self.remaining - amount),
            window=self.window,
            per_second=self.per_second,
        )


def remaining_of(usages: Iterable[Usage], names: frozenset[str]) -> tuple[Remaining, ...]:
    """Return what the named policies leave, of the kinds that are a matter of time."""
    return tuple(
        Remaining(
            policy=usage.policy.name,
            resource=usage.policy.resource,
            limit=usage.limit,
            remaining=max(0.0, usage.limit - usage.used - usage.reserved),
            window=usage.policy.window_seconds,
            per_second=usage.policy.amount / usage.policy.window_seconds if usage.policy.kind == "rate" else 0.0,
        )
        for usage in usages
        if usage.policy.name in names and usage.policy.kind in ("rate", "window") and usage.policy.mode == "enforce"
    )


def fields_of(told: Iterable[Remaining]) -> dict[str, str]:
    """Return the two fields, or none where nothing is to be told."""
    fullest = [each for each in told if each.resource in UNITS]
    if not fullest:
        return {}
    if len(fullest) > 1:
        fullest = sorted(fullest, key=lambda each: each.remaining / each.limit if each.limit else 0.0)[:MOST]
    return {
        "RateLimit-Policy": ", ".join(_policy(each) for each in fullest),
        "RateLimit": ", ".join(_state(each) for each in fullest),
    }


def _policy(each: Remaining) -> str:
    unit = UNITS[each.resource]
    window = f";w={each.window}" if each.window else ""
    return f"{quoted(each.policy)};q={integer(each.limit)}" + (f';qu="{unit}"' if unit else "") + window


def _state(each: Remaining) -> str:
    left = integer(each.remaining)
    wait = ""
    if each.per_second and each.remaining < each.limit:
        wait = f";t={max(1, math.ceil((each.limit - each.remaining) / each.per_second))}"
    return f"{quoted(each.policy)};r={left}{wait}"


@functools.lru_cache(maxsize=256)
def quoted(policy: str) -> str:
    """Quote a name as a structured field string: ASCII only (RFC 9651 section 3.3.3)."""
    ascii_name = policy.encode("ascii", "replace").decode()
    return '"' + ascii_name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def integer(amount: float) -> int:
    """Round down to what a structured field can hold."""
    return min(max(0, math.floor(amount)), _LARGEST_INTEGER)
