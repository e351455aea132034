"""``/harvests``: rules, what people do with orders, and audits. Each is seen by its charging group only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from edges.model import Json
from gateway.bodies import read_object
from gateway.harvests import documents, inputs
from gateway.principal import Principal, user_of
from harvest.errors import OrderNotFound, RuleNotFound
from harvest.harvester import Harvester
from harvest.model import ObjectState
from harvest.rules_model import Explained, Rule

MAX_RULES = 1_000
_RIGHT = '{"name": ..., "source": {...}, "target": {...}}'
_STATES: frozenset[str] = frozenset(ObjectState.__args__)  # type: ignore[attr-defined] # of a Literal


class NotForYou(Exception):
    """Only an administrator may do this."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "For administrators"


class HarvestsFace:
    """Serves rules. ``base`` is the public URL; ``callback_hosts`` may be told of events."""

    def __init__(self, *, harvester: Harvester, base: str, callback_hosts: Sequence[str]) -> None:
        self._harvester = harvester
        self._rules = harvester.rules
        self._base = base
        self._hosts = callback_hosts

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            web.get("/harvests", self._list),
            web.post("/harvests", self._create),
            web.get("/harvests/audits", self._audits),
            web.post("/harvests/audits", self._start_audit),
            web.get("/harvests/audits/{audit}", self._audit),
            web.get("/harvests/deliveries", self._deliveries),
            web.get("/harvests/{rule}", self._show),
            web.patch("/harvests/{rule}", self._change),
            web.delete("/harvests/{rule}", self._cancel),
            web.get("/harvests/{rule}/items", self._items),
            web.get("/harvests/{rule}/explain", self._explain),
            web.post("/harvests/{rule}/{act:suspend|resume|retry|approve|reject}", self._act),
            web.get("/jobs/{job}/explain", self._explain_job),
            web.post("/jobs/{job}/{act:suspend|resume|retry|approve|reject}", self._act_on_job),
        ]

    # -- rules ---------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        limit = _number(request, "limit", 100, most=MAX_RULES)
        before = request.query.get("before")
        rules = await self._rules.rules(
            None if principal.admin else principal.charging_group,
            before=None if before is None else _seconds(before),
            state=request.query.get("state"),
            limit=limit + 1,
        )
        links = []
        if len(rules) > limit:
            following = f"{self._base}/harvests?limit={limit}&before={rules[limit - 1].created!r}"
            links.append({"rel": "next", "href": following, "type": "application/json"})
        return _json(
            {"harvests": [documents.rule_document(each, self._base) for each in rules[:limit]], "links": links}
        )

    async def _create(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        body = await read_object(request, right=_RIGHT)
        charge = _paying(principal, body)
        asked = inputs.rule_request(body, self._hosts)
        if request.query.get("dry-run") in ("true", "1"):
            return _json(documents.estimate_document(await self._rules.estimate(asked, charge.charge)))
        rule = await self._rules.create(asked, charge.charge, key=request.headers.get("Idempotency-Key"))
        headers = {str(hdrs.LOCATION): f"{self._base}/harvests/{rule.id}"}
        return _json(documents.rule_document(rule, self._base), status=201, headers=headers)

    async def _show(self, request: web.Request) -> web.Response:
        return _json(documents.rule_document(await self._rule(request), self._base))

    async def _change(self, request: web.Request) -> web.Response:
        """Change some members (JSON Merge Patch, RFC 7396; source and target member by member)."""
        rule = await self._rule(request)
        patch = await read_object(request, right='{"schedule": "PT2H"}')
        if "group" in patch:
            raise InvalidInput("group", "a rule stays its group's", "no `group`; make another rule")
        whole = _merged(documents.request_document(rule.request), patch)
        changed = await self._rules.change(rule.id, inputs.rule_request(whole, self._hosts))
        return _json(documents.rule_document(changed, self._base))

    async def _cancel(self, request: web.Request) -> web.Response:
        rule = await self._rule(request)
        told = request.query.get("purge")
        purge = None if told is None else told in ("true", "1")
        return _json(documents.rule_document(await self._rules.cancel(rule.id, purge=purge), self._base))

    async def _items(self, request: web.Request) -> web.Response:
        rule = await self._rule(request)
        after = _number(request, "after", 0, most=1 << 53, least=0)
        limit = _number(request, "limit", 100, most=MAX_RULES)
        state = request.query.get("state")
        if state is not None and state not in _STATES:
            raise InvalidInput("state", f"got {state[:40]!r}", f"one of {', '.join(sorted(_STATES))}")
        items = await self._rules.items(rule.id, after=after, state=state, limit=limit)
        following = None
        if items.next is not None:
            kept = f"&state={state}" if state else ""
            following = f"{self._base}/harvests/{rule.id}/items?after={items.next}&limit={limit}{kept}"
        return _json(documents.items_document(items, following))

    async def _explain(self, request: web.Request) -> web.Response:
        rule = await self._rule(request)
        return self._explained(await self._rules.explain(rule.id))

    async def _act(self, request: web.Request) -> web.Response:
        rule = await self._rule(request)
        act = request.match_info["act"]
        if act in ("approve", "reject"):
            admin = _admin(request)
            if act == "approve":
                changed = await self._rules.approve(rule.id, admin.user)
            else:
                changed = await self._rules.reject(rule.id, await _why(request))
        else:
            plain: dict[str, Callable[[str], Awaitable[Rule]]] = {
                "suspend": self._rules.suspend,
                "resume": self._rules.resume,
                "retry": self._rules.retry,
            }
            changed = await plain[act](rule.id)
        return _json(documents.rule_document(changed, self._base))

    async def _rule(self, request: web.Request) -> Rule:
        """Return the rule of a request, if it is its group's."""
        principal = user_of(request)
        rule = await self._rules.rule(request.match_info["rule"])
        if not principal.admin and rule.charge.group not in principal.groups:
            raise RuleNotFound(f"no rule {rule.id!r}")
        return rule

    # -- orders --------------------------------------------------------------------------------------------

    async def _explain_job(self, request: web.Request) -> web.Response:
        order_id = await self._job(request)
        return self._explained(await self._rules.explain_order(order_id))

    def _explained(self, told: Explained) -> web.Response:
        """Return an explanation, with the sites that are read politely, which may be what it waits for."""
        return _json(documents.explained_document(told, self._harvester.politeness()))

    async def _act_on_job(self, request: web.Request) -> web.Response:
        order_id = await self._job(request)
        control, act = self._harvester.control, request.match_info["act"]
        if act == "reject":
            _admin(request)
            await control.reject(order_id, await _why(request))
        elif act == "approve":
            _admin(request)
            await control.approve(order_id)
        else:
            plain: dict[str, Callable[[str], Awaitable[None]]] = {
                "suspend": control.suspend,
                "resume": control.resume,
                "retry": control.retry,
            }
            await plain[act](order_id)
        order = await self._harvester.status(order_id)
        return _json({"jobID": order.id, "state": order.state, "message": order.message})

    async def _job(self, request: web.Request) -> str:
        principal = user_of(request)
        order = await self._harvester.status(request.match_info["job"])
        if not principal.admin and order.charge.group not in principal.groups:
            raise OrderNotFound(f"no order {order.id!r}")
        return order.id

    # -- audits and deliveries -----------------------------------------------------------------------------

    async def _start_audit(self, request: web.Request) -> web.Response:
        admin = _admin(request)
        body = await read_object(request, right='{"target": "edge-a", "repair": false, "deep": false}')
        target, flags = body.get("target"), [body.get(name, False) for name in ("repair", "deep")]
        if not isinstance(target, str) or not all(isinstance(flag, bool) for flag in flags):
            raise InvalidInput("body", "wrong", '{"target": "edge-a", "repair": false, "deep": false}')
        audit = await self._harvester.audits.start(target, admin.user, repair=flags[0], deep=flags[1])
        headers = {str(hdrs.LOCATION): f"{self._base}/harvests/audits/{audit.id}"}
        return _json(documents.audit_document(audit, self._base), status=201, headers=headers)

    async def _audits(self, request: web.Request) -> web.Response:
        _admin(request)
        audits = await self._harvester.audits.latest()
        return _json({"audits": [documents.audit_document(each, self._base) for each in audits]})

    async def _audit(self, request: web.Request) -> web.Response:
        _admin(request)
        audit = await self._harvester.audits.audit(request.match_info["audit"])
        return _json(documents.audit_document(audit, self._base))

    async def _deliveries(self, request: web.Request) -> web.Response:
        """Tell of events that did not reach who wanted them (dead letters), or that are on their way."""
        _admin(request)
        state = request.query.get("state", "dead")
        if state not in ("dead", "waiting", "sent"):
            raise InvalidInput("state", f"got {state[:40]!r}", "dead, waiting or sent")
        return _json({"deliveries": await self._harvester.outbox.told(state)})


def _paying(principal: Principal, body: Json) -> Principal:
    """Return the principal with the group that a rule names, if it is one of theirs."""
    group = body.get("group", principal.charging_group)
    if group not in principal.groups:
        raise InvalidInput("group", f"{group!r} is not yours"[:200], f"one of {', '.join(principal.groups)}")
    return msgspec.structs.replace(principal, charging_group=group)


def _admin(request: web.Request) -> Principal:
    principal = user_of(request)
    if not principal.admin:
        raise NotForYou("only an administrator may do this")
    return principal


async def _why(request: web.Request) -> str:
    why = (await read_object(request, right='{"reason": "too large"}')).get("reason")
    if not isinstance(why, str) or not why.strip():
        raise InvalidInput("reason", "missing", "why it is rejected, in words")
    return why[:500]


def _merged(whole: Json, patch: Json) -> Json:
    """Return a document with a merge patch applied (RFC 7396)."""
    merged = dict(whole)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict) and name in ("source", "target"):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged


def _number(request: web.Request, name: str, default: int, *, most: int, least: int = 1) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise InvalidInput(name, f"got {text[:40]!r}", f"a whole number of {least} or more")
    return min(int(text), most)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput("before", f"got {text[:40]!r}", "epoch seconds, as a next link gives them") from error


def _json(content: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )
