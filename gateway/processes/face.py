"""OGC API Processes 1.0: ``/processes`` and ``/jobs``. A job is a harvest order, seen by its charging group only."""

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from edges.model import Json
from gateway.bodies import read_object
from gateway.principal import Principal, principal_of, user_of
from gateway.problems import problem
from gateway.processes import descriptions, documents
from gateway.processes.inputs import order_request
from gateway.processes.listing import job_filter
from harvest.errors import OrderGone, OrderNotFound
from harvest.harvester import Harvester
from harvest.model import Order

MAX_JOBS = 1_000
DEFAULT_JOBS = 10
MAX_OBJECTS = 1_000
_EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"


class NoSuchProcess(Exception):
    """There is no process of that name."""

    status: ClassVar[int] = 404
    title: ClassVar[str] = "No such process"
    type: ClassVar[str] = f"{_EXCEPTIONS}/no-such-process"


class NoSuchJob(Exception):
    """There is no job of that name for this group."""

    status: ClassVar[int] = 404
    title: ClassVar[str] = "No such job"
    type: ClassVar[str] = f"{_EXCEPTIONS}/no-such-job"


class ResultNotReady(Exception):
    """The job still runs."""

    status: ClassVar[int] = 404
    title: ClassVar[str] = "Result not ready"
    type: ClassVar[str] = f"{_EXCEPTIONS}/result-not-ready"


class ProcessesFace:
    """Serves harvests as processes. ``base`` is the public URL that links are built from."""

    def __init__(self, *, harvester: Harvester, base: str, callback_hosts: Sequence[str] = ()) -> None:
        self._harvester = harvester
        self._base = base
        self._hosts = callback_hosts

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            web.get("/processes", self._processes),
            web.get("/processes/{process}", self._process),
            web.post("/processes/{process}/execution", self._execute),
            web.get("/jobs", self._jobs),
            web.get("/jobs/{job}", self._job),
            web.get("/jobs/{job}/results", self._results),
            web.delete("/jobs/{job}", self._dismiss),
        ]

    async def _processes(self, request: web.Request) -> web.Response:
        principal_of(request)
        limit = _number(request, "limit", MAX_JOBS, most=MAX_JOBS)
        processes = [descriptions.summary(each, self._base) for each in descriptions.PROCESSES.values()][:limit]
        own = {"rel": "self", "href": f"{self._base}/processes", "type": "application/json"}
        return _json({"processes": processes, "links": [own]})

    async def _process(self, request: web.Request) -> web.Response:
        principal_of(request)
        return _json(descriptions.description(_described(request), self._base))

    async def _execute(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        process = _described(request)
        body = await read_object(request, right='{"inputs": {"target": "edge-a", ...}}')
        wanted = order_request(body, self._hosts)
        _check_response(body)
        if process["id"] == descriptions.ESTIMATE:
            estimate = await self._harvester.estimate(wanted, principal.charge)
            return _json(documents.estimate_document(estimate))
        key = request.headers.get("Idempotency-Key")
        order = await self._harvester.submit(wanted, principal.charge, idempotency_key=key)
        headers = {str(hdrs.LOCATION): f"{self._base}/jobs/{order.id}"}
        if "respond-async" in request.headers.get("Prefer", ""):
            headers["Preference-Applied"] = "respond-async"
        return _json(documents.status_info(order, self._base), status=201, headers=headers)

    async def _jobs(self, request: web.Request) -> web.Response:
        principal = user_of(request)
        limit = _number(request, "limit", DEFAULT_JOBS, most=MAX_JOBS)
        wanted = job_filter(request.query, None if principal.admin else principal.charging_group)
        orders = () if wanted is None else await self._harvester.jobs(wanted, limit=limit + 1)
        following = None
        if len(orders) > limit:
            last = orders[limit - 1]
            kept = {name: value for name, value in request.query.items() if name not in ("limit", "before")}
            position = {"limit": str(limit), "before": f"{last.created!r},{last.id}"}
            following = f"{self._base}/jobs?{urlencode(kept | position)}"
        return _json(documents.job_list(list(orders[:limit]), self._base, following))

    async def _job(self, request: web.Request) -> web.Response:
        order = await self._order(request, user_of(request))
        return _json(documents.status_info(order, self._base))

    async def _results(self, request: web.Request) -> web.Response:
        order = await self._order(request, user_of(request))
        status = documents.STATUS[order.state]
        if status in ("accepted", "running"):
            raise ResultNotReady(f"job {order.id} is {status}: {documents.message(order)}")
        if status == "dismissed":
            raise OrderGone(f"job {order.id} was dismissed")
        after = _number(request, "after", 0, most=1 << 53, least=0)
        limit = _number(request, "limit", MAX_OBJECTS, most=MAX_OBJECTS)
        results = await self._harvester.results(order.id, after=after, limit=limit)
        following = None
        if results.next is not None:
            following = f"{self._base}/jobs/{order.id}/results?after={results.next}&limit={limit}"
        if status == "failed":
            return _failed(order, documents.results_document(results, following))
        return _json(documents.results_document(results, following))

    async def _dismiss(self, request: web.Request) -> web.Response:
        order = await self._order(request, user_of(request))
        return _json(documents.status_info(await self._harvester.cancel(order.id), self._base))

    async def _order(self, request: web.Request, principal: Principal) -> Order:
        """Return the job of a request, if it is its group's."""
        job_id = request.match_info["job"]
        try:
            order = await self._harvester.status(job_id)
        except OrderNotFound as error:
            raise NoSuchJob(f"there is no job {job_id!r}") from error
        if not principal.admin and order.charge.group not in principal.groups:
            raise NoSuchJob(f"there is no job {job_id!r}")
        return order


def _failed(order: Order, results: Json) -> web.Response:
    """Return the exception of a failed job; what was brought all the same stands beside it."""
    status, title = documents.failed_results(order)
    return problem(status, title, documents.message(order), instance=f"/jobs/{order.id}", **results)


def _described(request: web.Request) -> Json:
    name = request.match_info["process"]
    process = descriptions.PROCESSES.get(name)
    if process is None:
        raise NoSuchProcess(f"there is no process {name!r}; processes: {', '.join(descriptions.PROCESSES)}")
    return process


def _check_response(body: Json) -> None:
    """Refuse what an execution asks for that is not offered (section 7.11.2.2)."""
    if body.get("response", "document") not in ("document", "raw"):
        raise InvalidInput("response", f"got {body['response']!r}"[:200], "document or raw")


def _number(request: web.Request, name: str, default: int, *, most: int, least: int = 1) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise InvalidInput(name, f"got {text[:40]!r}", f"a whole number of {least} or more")
    return min(int(text), most)


def _json(content: Json, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )
