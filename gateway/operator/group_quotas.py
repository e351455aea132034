"""GroupQuota: policies and grants of one group, put through the administrators' door of the quotas."""

import time
from collections.abc import Callable, Mapping

import msgspec

from edges.model import Json
from gateway.operator.conditions import Condition, Outcome
from gateway.operator.errors import Misconfigured
from gateway.operator.gateway_api import GatewayApi
from gateway.operator.model import WantedGrant, grant_prefix, policy_name, wanted_grants, wanted_policies
from gateway.operator.resources import GROUP_QUOTAS, name_of
from quotas.model import Policy

USAGE_SECONDS = 60.0
"""How often the usage in the status is brought up to date."""


class GroupQuotas:
    """What to do about GroupQuota objects."""

    resource = GROUP_QUOTAS

    def __init__(self, *, gateway: GatewayApi, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    def holds(self, found: Json) -> bool:
        """Tell whether policies go with the object."""
        return bool(found["spec"].get("deletionPolicy", "Delete") == "Delete")

    async def act(self, found: Json) -> Outcome:
        """Put the policies and grants that differ, and delete those that are no longer said."""
        name, spec = name_of(found), found["spec"]
        policies = wanted_policies(name, spec)
        grants = tuple(wanted_grants(name, str(found["metadata"]["uid"]), spec))
        await self._bring_policies(name, policies)
        await self._bring_grants(found, grants)
        return await self._outcome(str(spec["group"]), policies)

    async def undo(self, found: Json) -> None:
        """Delete the policies and grants."""
        await self._bring_grants(found, ())
        await self._bring_policies(name_of(found), ())

    async def gone(self, key: str) -> None:
        """Nothing is left to do: what goes with the object went before it."""

    async def _bring_policies(self, name: str, wanted: tuple[Policy, ...]) -> None:
        why = _why(name)
        known = {str(each["name"]): each for each in await self._gateway.policies()}
        for policy in wanted:
            other = known.get(policy.name)
            if other is not None and not _ours(other, why):
                raise Misconfigured(
                    f"policy {policy.name!r} was put by {other.get('by') or 'the configuration'}: it is not ours"
                )
            if other is None or _policy_of(other) != policy:
                await self._gateway.put_policy(msgspec.to_builtins(policy), why=why)
        names = {policy.name for policy in wanted}
        for other_name, other in known.items():
            if _ours(other, why) and other_name.startswith(policy_name(name, "")) and other_name not in names:
                await self._gateway.delete_policy(other_name, why=why)

    async def _bring_grants(self, found: Json, wanted: tuple[WantedGrant, ...]) -> None:
        why, prefix = _why(name_of(found)), grant_prefix(str(found["metadata"]["uid"]))
        living = {each.key: each for each in wanted if each.expires_at > self._clock()}
        known = {str(each["id"]) for each in await self._gateway.grants()}
        for key, grant in living.items():
            if f"k-{key}" not in known:
                body = {name: getattr(grant, name) for name in ("policy", "holder", "amount", "why")}
                await self._gateway.grant(body | {"expires_in": grant.expires_at - self._clock()}, key=key)
        for grant_id in known:
            if grant_id.startswith(f"k-{prefix}") and grant_id.removeprefix("k-") not in living:
                await self._gateway.revoke(grant_id, why=why)

    async def _outcome(self, group: str, policies: tuple[Policy, ...]) -> Outcome:
        names = {policy.name for policy in policies}
        usage = [each for each in await self._gateway.usage(group) if each["policy"] in names]
        over = sorted({str(each["policy"]) for each in usage if each["used"] + each["reserved"] > each["limit"]})
        return Outcome(
            conditions=(
                Condition(type="Ready", status="True", reason="Applied", message=f"{len(policies)} policies hold"),
                Condition(
                    type="OverLimit",
                    status="True" if over else "False",
                    reason="OverLimit" if over else "WithinLimits",
                    message=", ".join(over),
                ),
            ),
            fields={"policies": len(policies), "usage": [_standing(each) for each in usage[:256]]},
            again=USAGE_SECONDS,
        )


def _why(name: str) -> str:
    return f"GroupQuota {name}"


def _ours(told: Json, why: str) -> bool:
    return bool(told.get("source") == "administrator" and told.get("why") == why)


def _policy_of(told: Mapping[str, object]) -> Policy | None:
    kept = {name: told[name] for name in Policy.__struct_fields__ if name in told}
    try:
        return msgspec.convert(kept, Policy)
    except (msgspec.ValidationError, ValueError):
        return None


def _standing(each: Json) -> Json:
    return {name: each[name] for name in ("policy", "resource", "edge", "limit", "used", "reserved")}
