"""PURE: what reconciliation does with the kernels of one edge. The edge's word is the truth.

A kernel gateway does not say whose a kernel is, and others may use the same one: a kernel without a record is ended
only where a start of ours was interrupted, and all its marks fit.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Literal

from edges.compute.model import KernelModel
from edges.model import Frozen
from gateway.kernels.model import KernelRecord

Act = Literal["keep", "adopt", "stop", "end", "ask"]
"""``keep``: renew the lease. ``adopt``: the kernel is this record's. ``stop``: tell the edge to end it. ``end``:
nothing is held any more: release. ``ask``: the list does not show it; ask for it alone."""


class Verdict(Frozen):
    """One thing to do about a record, a kernel, or a pair of them."""

    act: Act
    record: KernelRecord | None = None
    model: KernelModel | None = None


def judge(
    records: Collection[KernelRecord], listed: Mapping[str, KernelModel], *, under_way: Callable[[str], bool]
) -> list[Verdict]:
    """Judge all records of one edge, read after the edge's list was taken, against that list."""
    busy = any(under_way(record.id) for record in records)
    settled = [record for record in records if not under_way(record.id)]
    known = {record.kernel_id for record in records}
    unknown = [model for model in listed.values() if model.id not in known]
    verdicts: list[Verdict] = []
    for record in settled:
        if record.kernel_id is not None:
            verdicts.append(_known(record, listed.get(record.kernel_id)))
        elif record.id in listed:
            # gateways that honour KERNEL_ID give the kernel our own id
            verdicts.append(Verdict(act="adopt", record=record, model=listed[record.id]))
        elif not busy:
            verdicts += [Verdict(act="stop", model=model) for model in unknown if _left_behind(record, model)]
            verdicts.append(Verdict(act="end", record=record))
    return verdicts


def _known(record: KernelRecord, model: KernelModel | None) -> Verdict:
    if model is None:
        return Verdict(act="ask", record=record)
    return Verdict(act="stop" if record.state == "ending" else "keep", record=record, model=model)


def _left_behind(record: KernelRecord, model: KernelModel) -> bool:
    """Tell whether a kernel can be the one whose start was interrupted: its spec, nobody on it, and not older."""
    try:
        activity = datetime.fromisoformat(model.last_activity)
    except ValueError:
        return False
    begun = datetime.fromtimestamp(record.created_at, UTC)
    return model.name == record.spec and model.connections == 0 and activity.tzinfo is not None and activity >= begun
