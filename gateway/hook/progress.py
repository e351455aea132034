"""What became of a product, by the harvest order that brings it. Pure."""

from collections.abc import Sequence

import msgspec

from gateway.hook.model import HookOrder, Product, Status
from harvest.model import Order, OrderState, Results

_STATUS: dict[OrderState, Status] = {
    "PENDING_ESTIMATE": "queued",
    "WAITING_APPROVAL": "queued",
    "WAITING_QUOTA": "queued",
    "ACTIVE": "in_progress",
    "SUSPENDED": "in_progress",
    "STUCK": "failed",
    "OK": "completed",
    "EXPIRED": "completed",
    "CANCELLED": "cancelled",
}
SUFFIXES = (".SAFE", ".SEN3", ".zip")
"""Ends of identifiers that some catalogues write and others leave out."""
MAX_REASONS = 3
MAX_MESSAGE = 500


def spellings(reference: str) -> tuple[str, ...]:
    """Return how an identifier may be written in a catalogue, as it came first.

    >>> spellings("S2A_X.SAFE"), spellings("S2A_X")
    (('S2A_X.SAFE', 'S2A_X'), ('S2A_X', 'S2A_X.SAFE'))
    """
    for suffix in SUFFIXES:
        if reference.endswith(suffix) and reference != suffix:
            return reference, reference.removesuffix(suffix)
    return reference, f"{reference}.SAFE"


def status_of(job: Order) -> Status:
    """Return the status of a product whose job stands so."""
    return _STATUS[job.state]


def followed(product: Product, job: Order) -> Product:
    """Return a product while its job goes on."""
    status = status_of(job)
    said = job.message if status == "queued" and job.message else status.replace("_", " ")
    return msgspec.structs.replace(product, status=status, message=said[:MAX_MESSAGE])


def concluded(order: HookOrder, product: Product, job: Order, results: Results, now: float) -> Product:
    """Return a product whose job has ended; one that was not found is looked for once more, spelled otherwise."""
    status = status_of(job)
    if status == "completed" and job.progress.items == 0 and not results.failures:
        if product.attempt + 1 < len(spellings(product.reference)):
            return msgspec.structs.replace(product, attempt=product.attempt + 1, job="", status="queued")
        where = order.catalogue.url if order.catalogue is not None else order.collection
        return failed(product, f"there is no product {product.reference!r} in {where}", now)
    reasons = _reasons(order, results)
    if status == "cancelled":
        return msgspec.structs.replace(product, status=status, message="cancelled", completed=now)
    if status == "failed" or job.progress.objects_done == 0:
        return failed(product, "; ".join(reasons) or job.message or "nothing could be copied", now)
    said = f"Processing finished successfully; left out: {'; '.join(reasons)}" if reasons else ""
    return msgspec.structs.replace(
        product,
        status="completed",
        message=said[:MAX_MESSAGE] or "Processing finished successfully",
        size=job.progress.bytes_done,
        completed=job.finished or now,
        until=job.copies_until,
    )


def failed(product: Product, why: str, now: float) -> Product:
    """Return a product that cannot be had, with the cause."""
    return msgspec.structs.replace(product, status="failed", message=why[:MAX_MESSAGE], completed=now)


def _reasons(order: HookOrder, results: Results) -> list[str]:
    """Return what went wrong, each once; our own names for what an order brought say nothing to people."""
    told: Sequence[str] = [each.reason for each in results.objects if each.state != "AVAILABLE"]
    told = [*told, *(f"{each.asset}: {each.reason}" if each.asset else each.reason for each in results.failures)]
    host = order.catalogue.url if order.catalogue is not None else ""
    named = [_plain(each, order, host) for each in told if each]
    return list(dict.fromkeys(named))[:MAX_REASONS]


def _plain(reason: str, order: HookOrder, host: str) -> str:
    if order.source:
        reason = reason.replace(order.source, host)
    return reason.replace(order.target, order.bucket.endpoint) if order.bucket is not None else reason
