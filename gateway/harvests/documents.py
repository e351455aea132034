"""Rules as documents. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from edges.model import Json
from harvest.audit_model import Audit
from harvest.model import Estimate
from harvest.politeness import Politeness
from harvest.rules_book import RuleItems
from harvest.rules_model import Explained, Rule, RuleRequest


def rule_document(rule: Rule, base: str) -> Json:
    """Return a rule as it stands: what was asked, and how far it is."""
    own = f"{base}/harvests/{rule.id}"
    progress = rule.progress
    return {
        "id": rule.id,
        "state": rule.state,
        "message": rule.message,
        "group": rule.charge.group,
        "user": rule.charge.user,
        "created": instant(rule.created),
        "updated": instant(rule.updated),
        "expires": instant(rule.expires),
        "next_run": instant(rule.next_run) if rule.next_run < 1e12 else None,
        "runs": rule.runs,
        "approved_by": rule.approved or None,
        "lag_seconds": rule.lag,
        "watermark": {
            "field": rule.watermark.field or "datetime",
            "seen": instant(rule.watermark.seen),
            "looked": instant(rule.watermark.looked),
            "walked": instant(rule.watermark.walked),
        },
        "progress": msgspec.to_builtins(progress) | {"percent": progress.percent},
        "orders": [f"{base}/jobs/{order}" for order in rule.orders],
        "rule": request_document(rule.request),
        "links": [
            {"rel": "self", "href": own, "type": "application/json"},
            *({"rel": name, "href": f"{own}/{name}", "type": "application/json"} for name in ("items", "explain")),
        ],
    }


def request_document(request: RuleRequest) -> Json:
    """Return a rule as its owner gives it. Secrets are named, as they were."""
    told: Json = msgspec.to_builtins(request)
    source = told["source"]
    told["source"] = {
        **source["search"],
        **{name: source[name] for name in ("datetime", "assets") if source[name] is not None},
        **({"providers": source["sites"]} if source["sites"] else {}),
    }
    told["target"] = {name: value for name, value in told["target"].items() if value is not None}
    told["expires"] = instant(request.expires)
    told["purge"] = True if request.purge else "orphan"
    told["notify"] = [{name: each[name] for name in ("url", "events", "secret")} for each in told["notify"]]
    return {name: value for name, value in told.items() if value is not None}


def estimate_document(estimates: list[tuple[str, Estimate]]) -> Json:
    """Return what a rule would bring to each target."""
    targets = []
    for target, estimate in estimates:
        told: Json = msgspec.to_builtins(estimate)
        refusal = estimate.refusal.sentence() if estimate.refusal is not None else None
        targets.append(told | {"target": target, "refusal": refusal})
    return {"targets": targets, "bytes": sum(each.bytes for _, each in estimates)}


def items_document(items: RuleItems, following: str | None) -> Json:
    """Return a page of a rule's copies."""
    links = [] if following is None else [{"rel": "next", "href": following, "type": "application/json"}]
    return {"items": msgspec.to_builtins(items.items), "links": links}


def explained_document(told: Explained, politeness: Iterable[Politeness] = ()) -> Json:
    """Return why something is where it is, and which sites this gateway reads politely at the moment."""
    document: Json = msgspec.to_builtins(told)
    reasons = [each | {"retry_at": instant(each["retry_at"])} for each in document["reasons"]]
    polite = [msgspec.to_builtins(each) for each in politeness if each.waiting or not each.open]
    return document | {"reasons": reasons, "politeness": polite}


def audit_document(audit: Audit, base: str) -> Json:
    """Return an audit as it stands."""
    told: Json = msgspec.to_builtins(audit)
    times = {name: instant(told[name]) for name in ("created", "finished")}
    links = [{"rel": "self", "href": f"{base}/harvests/audits/{audit.id}", "type": "application/json"}]
    return told | times | {"links": links}


def instant(seconds: float | None) -> str | None:
    """Return epoch seconds as RFC 3339 text."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
