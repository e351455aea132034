"""What custom resources say, in the words of the one typed model. Pure.

Kubernetes writes names in camelCase, our configuration in snake_case; the words are the same otherwise. Keys of maps
that users choose (collections, credentials) are left as they are.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from edges.model import Frozen, Json
from edges.settings import SiteSettings
from gateway.operator.errors import Misconfigured
from quotas.model import Policy

_CAPITAL = re.compile(r"(?<!^)([A-Z])")
_FILE = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_USERS_KEYS = frozenset({"collections", "credentials"})
"""Fields whose own keys users choose."""


def snake_case(name: str) -> str:
    """Return ``timeoutSeconds`` as ``timeout_seconds``."""
    return _CAPITAL.sub(r"_\1", name).lower()


class SecretPlace(Frozen):
    """A key of a Secret, and the name of the file that the gateway reads it from."""

    name: str
    key: str
    file: str


class WantedSite(Frozen):
    """A site as the configuration file would have it, and the secrets that it refers to."""

    content: Json
    secrets: tuple[SecretPlace, ...]


def wanted_site(name: str, spec: Json, *, folder: str) -> WantedSite:
    """Return what an EdgeSite says; ``folder`` is where the gateway finds the secrets as files.

    Raises:
        Misconfigured: it is no site that the configuration file could have.
    """
    secrets: list[SecretPlace] = []

    def place(path: str, reference: Json) -> Json:
        file = f"{name}.{path}"
        if not _FILE.fullmatch(file):
            raise Misconfigured(f"{path}: a name may hold ASCII letters, digits, '.', '-' and '_' only")
        secrets.append(SecretPlace(name=str(reference["name"]), key=str(reference["key"]), file=file))
        return {"file": f"{folder}/{file}"}

    known = {field: value for field, value in spec.items() if field != "suspend"}
    content: Json = {"kind": "edge", **_translated(known, place), "id": name}
    try:
        msgspec.convert(content, SiteSettings)
    except (msgspec.ValidationError, ValueError) as error:
        raise Misconfigured(str(error)) from error
    return WantedSite(content=content, secrets=tuple(secrets))


def _translated(value: Any, place: Callable[[str, Json], Json], path: str = "", *, keep: bool = False) -> Any:
    if isinstance(value, list):
        return [_translated(each, place, path) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"secretKeyRef"}:
        return place(path, value["secretKeyRef"])
    return {
        (name if keep else snake_case(name)): _translated(
            each, place, f"{path}.{name}".lstrip("."), keep=name in _USERS_KEYS and not keep
        )
        for name, each in value.items()
    }


def wanted_policies(name: str, spec: Json) -> tuple[Policy, ...]:
    """Return what a GroupQuota says; its policies are named after it.

    Raises:
        Misconfigured: one is no policy that the configuration file could have.
    """
    return tuple(_policy(name, str(spec["group"]), each) for each in spec["policies"])


def policy_name(quota: str, policy: str) -> str:
    """Return what a policy of a GroupQuota is called at the gateway: a dot is in neither of the two."""
    return f"{quota}.{policy}"


def _policy(quota: str, group: str, content: Json) -> Policy:
    translated = {snake_case(field): value for field, value in content.items()}
    named = translated | {"name": policy_name(quota, str(content["name"])), "group": group}
    try:
        return msgspec.convert(named, Policy)
    except (msgspec.ValidationError, ValueError) as error:
        raise Misconfigured(f"policy {content['name']}: {error}") from error


class WantedGrant(Frozen):
    """A limit raised for a time; ``key`` names it among the grants of its GroupQuota. In epoch seconds."""

    key: str
    policy: str
    holder: str
    amount: float
    expires_at: float
    why: str


def wanted_grants(name: str, uid: str, spec: Json) -> Iterator[WantedGrant]:
    """Return the grants of a GroupQuota. One that is changed is another one.

    Raises:
        Misconfigured: a grant raises a policy that is not there, or its time is none.
    """
    policies = {str(each["name"]) for each in spec["policies"]}
    for each in spec.get("grants") or ():
        if each["policy"] not in policies:
            raise Misconfigured(f"grant {each['name']}: there is no policy {each['policy']!r} here")
        expires_at = seconds_of(str(each["expiresAt"]))
        yield WantedGrant(
            key=f"{grant_prefix(uid)}{each['name']}.{expires_at:.0f}.{float(each['amount']):g}",
            policy=policy_name(name, str(each["policy"])),
            holder=str(each.get("holder") or spec["group"]),
            amount=float(each["amount"]),
            expires_at=expires_at,
            why=str(each["why"]),
        )


def grant_prefix(uid: str) -> str:
    """Return what the keys of a GroupQuota's grants begin with."""
    return f"{uid}."


def seconds_of(text: str) -> float:
    """Read a time of RFC 3339, as epoch seconds.

    Raises:
        Misconfigured: it is none.
    """
    try:
        found = datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise Misconfigured(f"{text[:40]!r} is no time such as 2026-01-31T12:00:00Z") from error
    return found if math.isfinite(found) else 0.0


def order_inputs(spec: Json) -> Json:
    """Return what a HarvestRequest orders, as the inputs of the process ``harvest``."""
    return dict(spec["order"])
