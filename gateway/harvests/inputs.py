"""Bodies become rules. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Json
from edges.stac.datetimes import parse_instant
from gateway.webhook_inputs import notifications, refuse_unknown
from harvest.places import is_external
from harvest.rules_model import RuleRequest

_SEARCH = ("collections", "ids", "bbox", "intersects", "filter", "query")
_SOURCE = (*_SEARCH, "datetime", "assets", "edges", "providers")
_TARGET = ("edges", "copies", "bucket", "prefix", "storageClass")
_OWN = (
    "name", "source", "target", "mode", "schedule", "overlap", "retroactive", "lifetime", "expires", "purge",
    "priority", "group", "integrity", "politeness", "notify", "executor",
)  # fmt: skip
_PLAIN = ("name", "mode", "schedule", "overlap", "retroactive", "lifetime", "priority", "executor")


def rule_request(body: Json, hosts: Iterable[str]) -> RuleRequest:
    """Read a rule; ``hosts`` are those that may be told of events.

    Raises:
        InvalidInput: a member is missing, unknown or wrong; it is named.
    """
    refuse_unknown(body, _OWN, "")
    source, target = _object(body, "source"), _object(body, "target")
    refuse_unknown(source, _SOURCE, "source.")
    refuse_unknown(target, _TARGET, "target.")
    if target.get("storageClass", "STANDARD") != "STANDARD":
        raise InvalidInput("target.storageClass", "not offered", "STANDARD")
    if body.get("politeness", "inherit") != "inherit":
        raise InvalidInput("politeness", "a rule cannot be less polite", "inherit: what the sites' settings say")
    told: Json = {name: body[name] for name in _PLAIN if body.get(name) is not None}
    told["source"] = _source(source)
    told["target"] = {name: target[name] for name in _TARGET if target.get(name) is not None and name != "storageClass"}
    told["purge"] = _purge(body.get("purge", "orphan"))
    told["integrity"] = _integrity(body.get("integrity", "prefer"))
    if body.get("expires") is not None:
        told["expires"] = _instant(body["expires"])
    told["notify"] = [msgspec.to_builtins(each) for each in notifications(body.get("notify"), hosts)]
    try:
        return msgspec.convert(told, RuleRequest)
    except msgspec.ValidationError as error:
        wrong, _, field = str(error).partition(" - at `$.")
        raise InvalidInput(field.rstrip("`") or "body", wrong, "a rule as its description has it") from error


def _source(source: Json) -> Json:
    search = {name: source[name] for name in _SEARCH if source.get(name) is not None}
    if not search and source.get("datetime") is None:
        raise InvalidInput("source", "no search", f"at least one of {', '.join(_SEARCH)}")
    sites = [*_sites(source.get("edges")), *_sites(source.get("providers"))]
    told: Json = {"search": search, "sites": sites or None}
    return told | {name: source[name] for name in ("datetime", "assets") if source.get(name) is not None}


def _sites(given: Any) -> list[str]:
    if given is None or given == "*":
        return []
    if isinstance(given, list) and all(isinstance(each, str) and not is_external(each) for each in given):
        return given
    raise InvalidInput("source.providers", f"got {given!r}"[:200], "a list of site ids, or '*'")


def _purge(given: Any) -> bool:
    if given is True or given == "true":
        return True
    if given is False or given == "orphan":
        return False
    raise InvalidInput("purge", f"got {given!r}"[:200], "true, or 'orphan': the copies stay")


def _integrity(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    if given.get("onMismatch", "quarantine") != "quarantine":
        raise InvalidInput("integrity.onMismatch", f"got {given['onMismatch']!r}"[:200], "quarantine")
    return given.get("checksum", "prefer")


def _instant(given: Any) -> float:
    try:
        return parse_instant(given) / 1e6
    except (InvalidInput, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput("expires", f"got {given!r}"[:200], "an instant (RFC 3339)") from error


def _object(body: Json, name: str) -> Json:
    value = body.get(name)
    if not isinstance(value, dict):
        raise InvalidInput(name, "missing or no object", "an object")
    return value
