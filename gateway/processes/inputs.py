"""Execution requests become order requests (OGC API Processes 1.0, section 7.11). Pure."""

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from edges.errors import InvalidInput
from edges.model import Json, Query
from edges.stac.request import search_from_post
from gateway.processes.descriptions import HARVEST, PROCESSES
from gateway.webhook_inputs import callback_url, notifications
from harvest.announcing import CALLBACKS
from harvest.model import PRIORITIES, Content, Integrity, Notify, OrderRequest
from harvest.settings_executors import ExecutorName
from harvest.spans import seconds_of

_SEARCH = ("collections", "ids", "bbox", "intersects", "datetime", "filter", "query")
_PAGE = 500
_TEXTS = ("bucket", "prefix")


def order_request(body: Json, hosts: Iterable[str] = ()) -> OrderRequest:
    """Read the ``inputs`` of an execution request; ``hosts`` are those that may be called back.

    Raises:
        InvalidInput: an input is missing, unknown or wrong; it is named as ``inputs.<name>``.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, dict):
        raise InvalidInput("inputs", "missing or no object", "an object with `target` and a search")
    given = {name: _value(value) for name, value in inputs.items()}
    _check_names(given)
    assets = given.get("assets")
    if assets is not None and not _are_texts(assets):
        raise InvalidInput("inputs.assets", f"got {assets!r}"[:200], "a list of asset keys")
    return OrderRequest(
        query=_query(given),
        target=_text(given, "target"),
        assets=None if assets is None else tuple(assets),
        integrity=_integrity(given.get("integrity", "prefer")),
        content=_choice(given, "mode", "data", get_args(Content)),
        lifetime=None if given.get("lifetime") is None else _span(given),
        temporary=_choice(given, "temporary", default=False, choices=(True, False)),
        priority=_choice(given, "priority", 3, tuple(PRIORITIES)),
        executor=_choice(given, "executor", "local", get_args(ExecutorName)) if "executor" in given else None,
        notify=(*notifications(given.get("notify"), hosts), *_subscriber(body.get("subscriber"), hosts)),
        **{name: _text(given, name) for name in _TEXTS if name in given},
    )


def _span(given: Json) -> float:
    try:
        return seconds_of(_text(given, "lifetime"))
    except InvalidInput as error:
        raise InvalidInput("inputs.lifetime", error.wrong, error.right) from error


def _choice(given: Json, name: str, default: Any, choices: tuple[Any, ...]) -> Any:
    value = given.get(name, default)
    if type(value) is not type(default) or value not in choices:
        raise InvalidInput(f"inputs.{name}", f"got {value!r}"[:200], f"one of {', '.join(map(str, choices))}")
    return value


def _subscriber(given: Any, hosts: Iterable[str]) -> tuple[Notify, ...]:
    """Read the callbacks (section 7.11.2.4); the schema of 1.0 calls one both ``successUri`` and ``successUrl``."""
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise InvalidInput("subscriber", f"got {given!r}"[:200], '{"successUri": "https://..."}')
    told = dict(given)
    if "successUrl" in told:
        told.setdefault("successUri", told.pop("successUrl"))
    for name in told:
        if name not in CALLBACKS:
            raise InvalidInput(f"subscriber.{name}"[:200], "unknown", f"one of {', '.join(CALLBACKS)}")
    if "successUri" not in told:
        raise InvalidInput("subscriber.successUri", "missing", "a URL")
    return tuple(
        Notify(url=callback_url(url, hosts, f"subscriber.{kind}"), kind=kind, events=()) for kind, url in told.items()
    )


def _value(given: Any) -> Any:
    """Unwrap a qualified input value (``{"value": ...}``)."""
    return (
        given["value"]
        if isinstance(given, dict) and set(given) <= {"value", "mediaType"} and "value" in given
        else given
    )


def _check_names(given: Json) -> None:
    known = PROCESSES[HARVEST]["inputs"]
    for name in given:
        if name not in known and name not in ("query", "filter-lang"):
            raise InvalidInput(f"inputs.{name}", "unknown input", f"one of {', '.join(known)}")


def _query(given: Json) -> Query:
    search = {name: given[name] for name in _SEARCH if name in given}
    if not search:
        raise InvalidInput("inputs", "no search", f"at least one of {', '.join(_SEARCH)}")
    if isinstance(given.get("filter"), str):
        search["filter-lang"] = "cql2-text"
    try:
        return search_from_post(
            msgspec.json.encode(search | {"limit": _PAGE}), default_limit=_PAGE, max_limit=_PAGE
        ).query
    except InvalidInput as error:
        raise InvalidInput(f"inputs.{error.field}", error.wrong, error.right) from error


def _text(given: Json, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"inputs.{name}", "missing" if value is None else f"got {value!r}"[:200], "a text")
    return value


def _integrity(value: Any) -> Integrity:
    choices: tuple[Integrity, ...] = get_args(Integrity)
    for choice in choices:
        if value == choice:
            return choice
    raise InvalidInput("inputs.integrity", f"got {value!r}"[:200], f"one of {', '.join(choices)}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
