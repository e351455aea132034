"""What runs at an edge that may be cut off: it admits from its slices only, by itself.

A slice (see :class:`quotas.ledger.Slices`) is a part of the quota that the gateway has set aside until a time.
Here it becomes a policy of a ledger of the edge's own, in SQLite: that ledger's guarantees hold for the slice,
so what is granted here is never more than what was set aside there. Nothing outlives its slice.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from quotas.clock import steady_clock
from quotas.errors import InvalidAmount, LeaseLost, QuotaError
from quotas.model import CONSUMED, Charge, Lease, Line, Policy, Refusal
from quotas.records import Slice, Spent, Wanted
from quotas.sqlite import SqliteLedger

MARGIN_SECONDS = 5.0
"""How long before its end a slice is spent no more: the edge's clock and the gateway's may differ by this much."""

_PAGE = 1_000
_SLICES = "slices/"


class SliceEnded(QuotaError):
    """There is no slice of this group that is open, or none that lasts so long."""

    status = 503
    title = "The edge has no quota of its own at the moment"


class EdgePurse:
    """Slices at an edge, as an async context manager. ``clock`` gives epoch seconds.

    Its file remembers the slices: after a restart while cut off, what was granted still counts.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or steady_clock()
        self._notes = path.with_name(path.name + ".slices")
        self._slices: dict[str, Slice] = {}
        self._ledger = SqliteLedger(path, (), clock=self._clock)

    async def __aenter__(self) -> Self:
        await self._ledger.__aenter__()
        if await asyncio.to_thread(self._notes.exists):
            noted = msgspec.json.decode(await asyncio.to_thread(self._notes.read_bytes), type=tuple[Slice, ...])
            self._slices = {each.id: each for each in noted}
            await self._bind()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._ledger.__aexit__(*exc_info)

    async def take(self, part: Slice) -> None:
        """Begin to spend a slice. Idempotent."""
        self._slices[part.id] = part
        await self._note()
        await self._bind()

    async def drop(self, slice_id: str) -> None:
        """Forget a slice that the gateway has settled."""
        self._slices.pop(slice_id, None)
        await self._note()
        await self._bind()

    async def _note(self) -> None:
        body = msgspec.json.encode(tuple(self._slices.values()))
        await asyncio.to_thread(_write_durably, self._notes, body)

    async def _bind(self) -> None:
        await self._ledger.set_policies(policy for each in self._slices.values() for policy in _policies(each))

    def slices(self) -> list[Slice]:
        """List the slices, also those that have ended and are not settled."""
        return sorted(self._slices.values(), key=lambda each: each.id)

    async def reserve(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve from the group's slices; the lease ends with its slice at the latest.

        Raises:
            SliceEnded: no slice of the group is open, or its resources are not in it: nothing is granted.
            KeyReused, InvalidAmount: as :class:`quotas.ledger.Ledger`.
        """
        part = self._open(charge, lines)
        left = part.expires_at - MARGIN_SECONDS - self._clock()
        local = Charge(group=_place(part), user=charge.user)
        named = [msgspec.structs.replace(line, edge="*") for line in lines]
        answer = await self._ledger.reserve(key, local, named, ttl=min(ttl, left), why=why)
        return answer if isinstance(answer, Refusal) else msgspec.structs.replace(answer, charge=charge)

    def _open(self, charge: Charge, lines: Iterable[Line]) -> Slice:
        wanted = {line.resource for line in lines}
        now = self._clock()
        for part in self.slices():
            has = {line.resource for line in part.lines}
            if part.group == charge.group and wanted <= has and part.expires_at - MARGIN_SECONDS > now:
                return part
        raise SliceEnded(f"group {charge.group} has no open slice with {', '.join(sorted(wanted))}")

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease, up to the end of its slice.

        Raises:
            LeaseLost: it has ended.
            SliceEnded: its slice lasts no longer.
        """
        found = [lease for lease in await self._ledger.leases(key) if lease.key == key]
        part = next((each for each in self.slices() if found and _place(each) == found[0].charge.group), None)
        if not found or part is None:
            raise LeaseLost(f"reservation {key!r} has ended, or is unknown")
        left = part.expires_at - MARGIN_SECONDS - self._clock()
        if left <= 0:
            raise SliceEnded(f"the slice of group {part.group} lasts no longer")
        lease = await self._ledger.renew(key, ttl=min(ttl, left))
        return msgspec.structs.replace(lease, charge=Charge(group=part.group, user=lease.charge.user))

    async def left(self) -> dict[str, dict[str, float]]:
        """Tell what each slice has left of its resources, by its id."""
        parts = self.slices()
        usages = await self._ledger.usage([_place(part) for part in parts])
        found: dict[str, dict[str, float]] = {part.id: {} for part in parts}
        for usage in usages:
            taken = usage.used + usage.reserved
            found[usage.holder.removeprefix(_SLICES)][usage.policy.resource] = usage.policy.amount - taken
        return found

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was used (see :class:`quotas.ledger.Ledger`)."""
        await self._ledger.commit(key, actual)

    async def release(self, key: str) -> None:
        """End a lease unused (see :class:`quotas.ledger.Ledger`)."""
        await self._ledger.release(key)

    async def close(self, slice_id: str) -> list[Spent]:
        """Spend a slice no more, and tell what its users have spent: what the gateway is to settle it by.

        Raises:
            InvalidAmount: something is still reserved from it: end that, or wait for its end, and close it again.
        """
        part = self._slices.get(slice_id)
        if part is None:
            return []
        place = _place(part)
        self._slices[slice_id] = msgspec.structs.replace(part, expires_at=min(part.expires_at, self._clock()))
        await self._note()
        if any(lease.charge.group == place for lease in await self._ledger.leases()):
            raise InvalidAmount(f"slice {slice_id!r} is still in use")
        totals: dict[tuple[str, str], float] = {}
        after = 0
        while page := await self._ledger.history(place, after=after, limit=_PAGE, wanted=Wanted(events=("commit",))):
            after = page[-1].seq
            for entry in page:
                if entry.resource in CONSUMED:
                    totals[entry.user, entry.resource] = totals.get((entry.user, entry.resource), 0.0) + entry.amount
        return [Spent(user=user, resource=resource, amount=amount) for (user, resource), amount in totals.items()]


def _write_durably(path: Path, body: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _place(part: Slice) -> str:
    """Return the group of the edge's own ledger that stands for a slice."""
    return f"{_SLICES}{part.id}"


def _policies(part: Slice) -> Iterable[Policy]:
    totals: dict[str, float] = {}
    for line in part.lines:
        totals[line.resource] = totals.get(line.resource, 0.0) + line.amount
    for resource, amount in totals.items():
        yield Policy(
            name=f"slice {part.id}: {resource}",
            group=_place(part),
            resource=resource,
            kind="stock" if resource in CONSUMED else "concurrent",
            amount=amount,
        )
