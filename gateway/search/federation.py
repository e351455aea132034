"""The federated search as one object: plans, asks the sites at once, merges, and reports on each of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from edges.audit import ranked_keys
from edges.errors import EdgeError, InvalidInput, SiteMisbehaved, SiteUnavailable
from edges.model import Frozen, Members, Query, SortKey
from edges.registry import Registry, Site
from edges.stac.matching import compile_query
from edges.stac.order import TIE_BREAKS, compile_values, key_of_values, total_order
from gateway.search.cursor import Anchor, Cursors
from gateway.search.merge import Group, Merge, Row
from gateway.search.plan import Call, Plan, SiteView, plan
from gateway.search.stream import OrderViolated, Reading, SiteStream

_log = logging.getLogger(__name__)

_AUDIT_SHARE = 0.25
"""How much of the deadline sites have to show that they keep an order; who is slower is believed for now."""


class SiteReport(Frozen):
    """What became of one site in one search. ``items`` are those on the page, ``dropped`` failed our own check."""

    site: str
    status: str
    reason: str = ""
    items: int = 0
    fetched: int = 0
    dropped: int = 0
    milliseconds: float = 0.0
    filter: str = "pushed"


class Page(Frozen):
    """One page: groups of copies in the global order, the next cursor, and the reports.

    ``matched`` is None where no exact count is known.
    """

    groups: list[Group]
    next: str | None
    matched: int | None
    reports: tuple[SiteReport, ...]

    @property
    def missing(self) -> list[str]:
        """Return the sites whose part of the answer is missing."""
        return [report.site for report in self.reports if report.status == "failed"]


class AllSitesFailed(EdgeError):
    """No site that was asked has answered: there is no answer to give."""

    status = 502
    title = "No site answered"


class PartialRefused(EdgeError):
    """The client wants all or nothing, and a site is missing."""

    status = 502
    title = "A site is missing"


class Federation:
    """Searches all sites of a registry. ``deadline_seconds`` bounds one page, whatever a site does."""

    def __init__(
        self,
        *,
        registry: Registry,
        cursors: Cursors,
        deadline_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._cursors = cursors
        self._deadline = deadline_seconds
        self._clock = clock

    async def search(self, query: Query, *, user: str, token: str | None = None, strict: bool = False) -> Page:
        """Return one page of at most ``query.limit`` items.

        Raises:
            InvalidInput: the token is not for this search.
            AllSitesFailed: every site that could hold matches failed.
            PartialRefused: ``strict``, and a site failed.
        """
        anchor = self._cursors.read(token, query, user, now=self._clock()) if token is not None else None
        while True:
            try:
                page = await self._page(query, user, anchor)
            except OrderViolated as violation:  # each demotes a site for good, so this ends
                self._demote(violation)
            else:
                break
        if page.missing and (strict or not any(report.status == "answered" for report in page.reports)):
            reasons = "; ".join(report.reason for report in page.reports if report.status == "failed")
            raise (PartialRefused if strict else AllSitesFailed)(reasons)
        return page

    async def pages(self, query: Query, *, user: str, strict: bool) -> AsyncIterator[Page]:
        """Yield page after page to the end; see :meth:`search` for what it raises."""
        token: str | None = None
        while True:
            page = await self.search(query, user=user, token=token, strict=strict)
            yield page
            token = page.next
            if token is None:
                return

    async def walk(self, query: Query, *, user: str) -> AsyncIterator[Group]:
        """Yield the groups of all pages; all sites or an error: nothing is silently missing."""
        async for page in self.pages(query, user=user, strict=True):
            for group in page.groups:
                yield group

    async def item(self, collection: str, item_id: str) -> Group:
        """Return all copies of one item; empty where every site that may hold it says that it does not.

        Raises:
            AllSitesFailed: no copy was found, and a site that may hold it did not answer.
        """
        sites = [
            site for site in self._registry.sites() if site.collection_ids is None or collection in site.collection_ids
        ]
        answers = await asyncio.gather(*(self._item_at(site, collection, item_id) for site in sites))
        group = [
            Row(key=(), site=site.id, item=answer)
            for site, answer in zip(sites, answers, strict=True)
            if isinstance(answer, dict)
        ]
        failures = [answer for answer in answers if isinstance(answer, EdgeError)]
        if not group and failures:
            raise AllSitesFailed("; ".join(str(failure) for failure in failures))
        return group

    async def _item_at(self, site: Site, collection: str, item_id: str) -> Members | EdgeError | None:
        try:
            async with asyncio.timeout(self._deadline):
                found = await site.catalogue.item(collection, item_id)
        except TimeoutError:
            return SiteUnavailable(site.id, f"no answer within {self._deadline:g} s")
        except EdgeError as error:
            return error
        if found is not None and not _is_item(found, collection, item_id):
            return SiteMisbehaved(site.id, "it answered with something else than the item")
        return found

    async def _page(self, query: Query, user: str, anchor: Anchor | None) -> Page:
        order = total_order(query.sortby)
        await self._audited(order)
        chosen = plan(query, tuple(_view(site, order) for site in self._registry.sites()), anchor)
        values = compile_values(chosen.order)
        reading = Reading(
            matches=compile_query(query),
            key=lambda item: key_of_values(chosen.order, values(item)),
            after=key_of_values(chosen.order, anchor.values) if anchor is not None else None,
            prefix=ranked_keys(chosen.order),
        )
        streams = {call.site: self._stream(call, reading) for call in chosen.calls}
        merge = Merge(ranks={call.site: rank for rank, call in enumerate(chosen.calls)}, limit=query.limit + 1)
        failures = await _Fanout(streams, merge, self._deadline).run()
        groups = merge.groups[: query.limit]
        matched = anchor.matched if anchor is not None else _matched(chosen, streams, failures, self._registry)
        following = None
        if len(merge.groups) > query.limit:
            end = Anchor(values=values(groups[-1][0].item), matched=matched)
            following = self._cursors.write(end, query, user, now=self._clock())
        return Page(
            groups=groups,
            next=following,
            matched=matched,
            reports=self._reports(chosen, streams, failures, groups),
        )

    async def _audited(self, order: tuple[SortKey, ...]) -> None:
        """Let each site show that it keeps the order, before it is relied on; one that fails will fail the search."""
        sites = [site for site in self._registry.sites() if site.pulse.available]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline * _AUDIT_SHARE):
                await asyncio.gather(*(site.audit(order) for site in sites), return_exceptions=True)

    def _stream(self, call: Call, reading: Reading) -> SiteStream:
        site = self._registry.get(call.site)
        if site is None:
            raise InvalidInput("site", f"{call.site} is unknown", "a configured site")
        return SiteStream(
            call=call, catalogue=site.catalogue, reading=reading, max_page=site.settings.catalogue.max_page
        )

    def _demote(self, violation: OrderViolated) -> None:
        site = self._registry.get(violation.site)
        if site is not None:
            site.demote(ties=violation.ties)
        _log.warning("site order not as claimed", extra={"site": violation.site, "ties": violation.ties})

    def _reports(
        self, chosen: Plan, streams: dict[str, SiteStream], failures: dict[str, str], groups: list[Group]
    ) -> tuple[SiteReport, ...]:
        given: dict[str, int] = dict.fromkeys(streams, 0)
        for group in groups:
            for row in group:
                given[row.site] += 1
        reports = [_skipped(skip.site, skip.reason, failed=skip.failed) for skip in chosen.skips]
        for call in chosen.calls:
            stream, failure = streams[call.site], failures.get(call.site)
            if failure is None:
                self._registry.succeeded(call.site)
            else:
                self._registry.failed(call.site, failure)
            reports.append(
                SiteReport(
                    site=call.site,
                    status="failed" if failure is not None else "answered",
                    reason=failure or "",
                    items=given[call.site],
                    fetched=stream.fetched,
                    dropped=stream.dropped,
                    milliseconds=round(stream.milliseconds, 3),
                    filter="residual" if call.residual else "pushed",
                )
            )
        return tuple(sorted(reports, key=lambda report: report.site))


class _Fanout:
    """Feeds a merge from its streams, all starved ones at once, until the page is full or the deadline passes."""

    def __init__(self, streams: dict[str, SiteStream], merge: Merge, deadline_seconds: float) -> None:
        self._streams = streams
        self._merge = merge
        self._deadline = deadline_seconds
        self._failures: dict[str, str] = {}

    async def run(self) -> dict[str, str]:
        """Return why sites failed, by site."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        while starved := self._merge.advance():
            tasks = {asyncio.create_task(self._streams[site].more(), name=f"search {site}"): site for site in starved}
            try:
                done, late = await asyncio.wait(tasks, timeout=max(0.0, end - loop.time()))
                for task in done:
                    self._take(tasks[task], task)
                for task in late:
                    self._fail(tasks[task], f"no answer within the deadline of {self._deadline:g} s")
            finally:
                await _cancelled(tasks)
        return self._failures

    def _take(self, site: str, task: "asyncio.Task[list[Row]]") -> None:
        error = task.exception()
        if error is None:
            self._merge.feed(site, task.result(), exhausted=self._streams[site].exhausted)
        elif isinstance(error, EdgeError):
            self._fail(site, str(error))
        else:
            raise error

    def _fail(self, site: str, reason: str) -> None:
        self._failures[site] = reason
        self._merge.close(site)


async def _cancelled(tasks: "dict[asyncio.Task[list[Row]], str]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_item(found: Members, collection: str, item_id: str) -> bool:
    """Tell whether a site has answered with the item that it was asked for."""
    try:
        compile_values(TIE_BREAKS)(found)  # its properties are an object
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return compile_query(Query(collections=(collection,), ids=(item_id,)))(found)


def _view(site: Site, order: tuple[SortKey, ...]) -> SiteView:
    return SiteView(
        id=site.id,
        capabilities=site.capabilities_for(order),
        collections=site.collection_ids,
        priority=site.settings.priority,
        available=site.pulse.available,
        reason=f"left out after {site.pulse.failures} failures in a row: {site.pulse.reason}",
    )


def _skipped(site: str, reason: str, *, failed: bool) -> SiteReport:
    return SiteReport(site=site, status="failed" if failed else "skipped", reason=reason)


def _matched(chosen: Plan, streams: dict[str, SiteStream], failures: dict[str, str], registry: Registry) -> int | None:
    """Return the exact count: only where every asked site gave one, checked none away, and no copies can exist."""
    if failures or any(skip.failed for skip in chosen.skips):
        return None
    counts = [stream.matched for stream in streams.values()]
    if any(count is None for count in counts) or any(stream.dropped for stream in streams.values()):
        return None
    if any(call.residual for call in chosen.calls) or _may_share(chosen, registry):
        return None
    return sum(count for count in counts if count is not None)


def _may_share(chosen: Plan, registry: Registry) -> bool:
    wanted = [set(call.segments[0].collections or ()) or set(_ids(registry.get(call.site))) for call in chosen.calls]
    return sum(len(each) for each in wanted) != len(set().union(*wanted))


def _ids(site: Site | None) -> frozenset[str]:
    return (site.collection_ids if site is not None else None) or frozenset()
