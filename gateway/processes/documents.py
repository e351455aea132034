"""Orders as jobs: status, list and results (OGC API Processes 1.0, sections 7.12 to 7.14). Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from edges.model import Json
from gateway.processes.descriptions import HARVEST
from harvest.model import Estimate, Order, Results

STATUS = {
    "PENDING_ESTIMATE": "accepted",
    "WAITING_APPROVAL": "accepted",
    "WAITING_QUOTA": "accepted",
    "ACTIVE": "running",
    "SUSPENDED": "running",
    "STUCK": "failed",
    "EXPIRED": "successful",
    "OK": "successful",
    "CANCELLED": "dismissed",
}
"""What a state of ours is in the words of the standard, which has no others."""


def status_info(order: Order, base: str) -> Json:
    """Return a job's statusInfo; ``harvest`` is ours beside it: the figures of the progress."""
    status = STATUS[order.state]
    own = f"{base}/jobs/{order.id}"
    links = [{"rel": "self", "href": own, "type": "application/json"}]
    if status in ("successful", "failed"):
        results = "http://www.opengis.net/def/rel/ogc/1.0/results"
        links.append({"rel": results, "href": f"{own}/results", "type": "application/json"})
    times = {"created": order.created, "started": order.started, "finished": order.finished, "updated": order.updated}
    return {
        "jobID": order.id,
        "processID": HARVEST,
        "type": "process",
        "status": status,
        "message": message(order),
        "progress": 100 if status == "successful" else order.progress.percent,
        **{name: instant(at) for name, at in times.items() if at is not None},
        "harvest": {"state": order.state, "target": order.request.target, **msgspec.to_builtins(order.progress)},
        "links": links,
    }


def message(order: Order) -> str:
    """Say to a person how an order stands."""
    progress = order.progress
    said = [f"{progress.objects_done} of {progress.objects} objects, {progress.bytes_done} of {progress.bytes} bytes"]
    if progress.present:
        said.append(f"{progress.present} were there already")
    if progress.objects_failed:
        said.append(f"{progress.objects_failed} failed")
    if order.message:
        said.append(order.message)
    return "; ".join(said)


def job_list(orders: list[Order], base: str, following: str | None) -> Json:
    """Return a page of jobs."""
    links = [{"rel": "self", "href": f"{base}/jobs", "type": "application/json"}]
    if following is not None:
        links.append({"rel": "next", "href": following, "type": "application/json"})
    return {"jobs": [status_info(order, base) for order in orders], "links": links}


def failed_results(order: Order) -> tuple[int, str]:
    """Return the HTTP status and title that match why an order did not end well (section 7.14)."""
    if order.state == "CANCELLED":
        return 410, "The job was dismissed"
    if order.progress.objects_failed and not order.progress.objects_done:
        return 502, "The sources did not deliver"
    return 500, "Not everything could be copied"


def callback_document(kind: str, order: Order, results: Results | None, *, base: str) -> Json:
    """Return the body of a callback: results, an exception, or the status (section 7.11.2.4)."""
    if kind == "successUri" and results is not None:
        return results_document(results, None)
    if kind == "failedUri":
        status, title = failed_results(order)
        return {"type": "about:blank", "title": title, "status": status, "detail": message(order), "instance": order.id}
    return status_info(order, base)


def results_document(results: Results, following: str | None) -> Json:
    """Return one page of what a job brought."""
    told: dict[str, Any] = msgspec.to_builtins(results)
    document: Json = {"objects": told["objects"], "failures": told["failures"]}
    if following is not None:
        document["links"] = [{"rel": "next", "href": following, "type": "application/json"}]
    return document


def estimate_document(estimate: Estimate) -> Json:
    """Return an estimate; ``refusal`` says in words why there would be no quota."""
    told: Json = msgspec.to_builtins(estimate)
    return told | {"refusal": estimate.refusal.sentence() if estimate.refusal is not None else None}


def instant(seconds: float) -> str:
    """Return epoch seconds as RFC 3339 text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
