"""The federated search as one object: plans, asks the sites at once, merges, sifts, and reports on each of them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence

import msgspec

from edges.audit import ranked_keys
from edges.errors import EdgeError, InvalidInput
from edges.hops import came_around
from edges.model import Dedup, Query, SortKey
from edges.registry import Registry, Site
from edges.stac.matching import all_of, compile_parts
from edges.stac.order import compile_key, compile_values, key_of_values, total_order
from gateway.principal import Principal
from gateway.search.access import Access
from gateway.search.cursor import Anchor, Count, Cursors, proof_of
from gateway.search.fanout import Fanout
from gateway.search.free_text import CollectionTexts
from gateway.search.learning import CollectionsLearnt, note_faults
from gateway.search.lookup import look_up
from gateway.search.merge import Group, Merge
from gateway.search.page import SPARED, UNSIFTED, Page, SiteReport, count_of, reports
from gateway.search.plan import SiteView, plan
from gateway.search.reading import Reading
from gateway.search.related import related_to
from gateway.search.sight import Sight
from gateway.search.stages import Disproved, Making, Stage
from gateway.search.stream import SiteStream
from gateway.search.withholding import withheld

_log = logging.getLogger(__name__)

_SOUGHT_AT_ONCE, _SOUGHT_AT_MOST = 100, 10_000
"""Items that are read to find the place of a cursor which could not hold it whole."""

_AUDIT_SHARE = 0.25
"""How much of the deadline sites have to show that they keep an order; who is slower is believed for now."""


class AllSitesFailed(EdgeError):
    """No site that was asked has answered: there is no answer to give. ``members`` go into the problem."""

    status = 502
    title = "No site answered"

    def __init__(self, reasons: str, missing: Iterable[SiteReport] = ()) -> None:
        super().__init__(reasons)
        self.members = {"sites": {each.site: {"code": each.code, "reason": each.reason} for each in missing}}


class PartialRefused(AllSitesFailed):
    """The client wants all or nothing, and a site is missing."""

    title = "A site is missing"


class Federation:
    """Searches all sites of a registry. ``deadline_seconds`` bounds one page, whatever a site does.

    Merged groups pass through ``stages``, in order, before they stand on a page; ``observe`` sees each site's report.
    ``access`` tells who sees what; a search without a sight is everybody's, and gives what everybody sees.
    """

    def __init__(  # noqa: PLR0913 - the parts that a search is put together from, named by the composition root
        self,
        *,
        registry: Registry,
        cursors: Cursors,
        deadline_seconds: float,
        stages: Sequence[Stage] = (),
        observe: Callable[[SiteReport], None] | None = None,
        access: Access | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._cursors = cursors
        self._deadline = deadline_seconds
        self._stages = tuple(stages)
        self._observe = observe
        self._clock = clock
        self._access = access or Access(registry=registry)
        self._texts = CollectionTexts()

    @property
    def access(self) -> Access:
        """Return who tells who sees what."""
        return self._access

    def sight(self, principal: Principal | None) -> Sight:
        """Return what somebody sees, to be given with their queries; None is everybody."""
        return self._access.sight(principal)

    async def search(
        self,
        query: Query,
        *,
        user: str,
        token: str | None = None,
        strict: bool = False,
        require: Iterable[str] = (),
        sight: Sight | None = None,
    ) -> Page:
        """Return one page of at most ``query.limit`` items; those of the sites ``require`` are on it, or none are.

        Raises:
            InvalidInput: the token is not for this search, or a required site does not exist.
            AllSitesFailed: every site that could hold matches failed.
            PartialRefused: a site is missing that is required; ``strict`` requires all.
        """
        required, sight = self._required(require), sight or self.sight(None)
        anchor = self._cursors.read(token, query, user, now=self._clock()) if token is not None else None
        while True:
            try:
                if anchor is not None and anchor.proof:
                    anchor = await self._sought(query, anchor, sight)
                page = await self._page(query, user, anchor, sight)
            except Disproved as disproved:  # each is corrected for good, so this ends
                disproved.correct(self._sites())
                _log.warning("search made again", extra={"reason": str(disproved)})
            else:
                break
        if self._observe is not None:
            for report in page.reports:
                self._observe(report)
        _accept(page, frozenset(page.missing) if strict else required)
        return page

    def _required(self, names: Iterable[str]) -> frozenset[str]:
        required = frozenset(names)
        if not required:
            return required
        known = sorted(site.id for site in self._registry.sites())
        for name in sorted(required.difference(known)):
            raise InvalidInput("require", f"no site {name[:80]!r}", f"sites: {', '.join(known)}")
        return required

    async def pages(self, query: Query, *, user: str, strict: bool, sight: Sight | None = None) -> AsyncIterator[Page]:
        """Yield page after page to the end; see :meth:`search` for what it raises."""
        token: str | None = None
        while True:
            page = await self.search(query, user=user, token=token, strict=strict, sight=sight)
            yield page
            token = page.next
            if token is None:
                return

    async def walk(self, query: Query, *, user: str, sight: Sight | None = None) -> AsyncIterator[Group]:
        """Yield the groups of all pages; all sites or an error: nothing is silently missing."""
        async for page in self.pages(query, user=user, strict=True, sight=sight):
            for group in page.groups:
                yield group

    async def item(
        self,
        collection: str,
        item_id: str,
        *,
        sites: Collection[str] | None = None,
        provenance: bool = False,
        dedup: Dedup = "replica",
        sight: Sight | None = None,
    ) -> Group:
        """Return all copies of one item; empty where every site that may hold it says that it does not.

        Only ``sites`` are asked, None for all. ``provenance``: with what harmonisation changed. ``dedup``: with other
        productions of its scene, where it is ``product`` or ``observation``.

        Raises:
            AllSitesFailed: no copy was found, and a site that may hold it did not answer.
        """
        among, sight = None if sites is None else tuple(sites), sight or self.sight(None)
        wanted = Query(collections=(collection,), ids=(item_id,), sites=among, provenance=provenance, limit=1)
        group, failures = await look_up(self._registry, wanted, sight, seconds=self._deadline)
        if not group and failures:
            raise AllSitesFailed("; ".join(str(failure) for failure in failures))
        if dedup in ("product", "observation"):
            asked = [
                site
                for site in self._registry.sites()
                if (among is None or site.id in among) and not site.settings.catalogue.disjoint
            ]
            group += await related_to(group, asked, sight, level=dedup, seconds=self._deadline)
        return withheld([group], sight, self._access.address)[0]

    async def _page(self, query: Query, user: str, anchor: Anchor | None, sight: Sight) -> Page:
        """Plan, merge, sift, and tell what came of it."""
        making = await self._begun(query, anchor, sight)
        streams = _streams(making)
        fanout = Fanout(streams, Merge(streams), end=making.end, seconds=self._deadline)
        kept = await self._filled(fanout, making)
        failures = making.failures | fanout.failures
        codes = dict.fromkeys(making.failures, UNSIFTED) | fanout.codes
        self._note(streams, failures, codes)
        await self._learn(streams, making)
        tallies = {site: stream.tally() for site, stream in streams.items()}
        for site, probes in making.probes.items():
            tallies[site] = msgspec.structs.replace(tallies[site], probes=probes)
        count = anchor.count if anchor is not None else count_of(making.plan, tallies, failures, query.dedup)
        groups = withheld(kept[: query.limit], sight, self._access.address)
        return Page(
            groups=groups,
            next=self._next(kept, making, count, user) if len(kept) > query.limit else None,
            matched=count.value if count.exact else None,
            at_least=max(count.value, len(kept)),
            reports=reports(making.plan, tallies, failures, groups, codes),
            plan=making.plan,
        )

    async def _sought(self, query: Query, anchor: Anchor, sight: Sight) -> Anchor:
        """Complete an anchor whose values were too long for the cursor: read on until its item comes.

        Raises:
            InvalidInput: it does not come.
        """
        making = await self._begun(msgspec.structs.replace(query, limit=_SOUGHT_AT_ONCE), anchor, sight)
        streams = _streams(making)
        fanout = Fanout(streams, Merge(streams), end=making.end, seconds=self._deadline)
        for _ in range(_SOUGHT_AT_MOST // _SOUGHT_AT_ONCE):
            groups = await fanout.following(_SOUGHT_AT_ONCE)
            for group in groups:
                if proof_of(group[0].key) == anchor.proof:
                    values = compile_values(making.plan.order)(group[0].item)
                    return msgspec.structs.replace(anchor, values=values, beginning=None, proof=b"")
            if len(groups) < _SOUGHT_AT_ONCE:
                break
        raise InvalidInput("token", "the item that it stands on is no more", "a search from its first page")

    async def _begun(self, query: Query, anchor: Anchor | None, sight: Sight) -> Making:
        """Choose what to ask whom, once the sites have shown that they keep the order."""
        end = asyncio.get_running_loop().time() + self._deadline
        order = total_order(query.sortby)
        if not came_around():
            await self._audited(order)
        sites = () if came_around() else [site for site in self._registry.sites() if sight.present(site.id)]
        if query.text is not None:
            self._texts.learn({site.id: site.collections for site in self._registry.sites()})
        chosen = plan(query, tuple(self._view(site, order, query, sight) for site in sites), anchor)
        for call in chosen.calls:
            self._registry.asking(call.site)
        parts = compile_parts(query, self._texts.about)
        return Making(
            query=query,
            plan=chosen,
            parts=parts,
            matches=all_of(parts),
            key=compile_key(chosen.order),
            after=key_of_values(chosen.order, anchor.values) if anchor is not None and not anchor.proof else None,
            within=anchor.within if anchor is not None else "",
            sites={site.id: site for site in sites},
            end=end,
        )

    async def _filled(self, fanout: Fanout, making: Making) -> list[Group]:
        """Return a page's groups and one more, where there are that many: what a stage drops is made up for."""
        wanted = making.query.limit + 1
        kept: list[Group] = []
        while len(kept) < wanted:
            asked = wanted - len(kept)
            groups = await fanout.following(asked)
            ended = len(groups) < asked
            for stage in self._stages:
                groups = await stage.kept(groups, making)
            kept += groups
            if ended:
                break
        return kept

    def _next(self, kept: Sequence[Group], making: Making, count: Count, user: str) -> str:
        """Return the cursor of what follows the page; ``kept`` are its groups, and one more at least."""
        last = kept[making.query.limit - 1]
        values = compile_values(making.plan.order)(last[0].item)
        within = last[0].site if making.query.dedup == "none" else ""
        anchor = Anchor(values=values, count=count, within=within, alone=_alone(kept, making.query.limit - 1))
        return self._cursors.write(anchor, making.query, user, now=self._clock())

    async def _audited(self, order: tuple[SortKey, ...]) -> None:
        """Let each site show that it keeps the order, before it is relied on; one that fails will fail the search."""
        sites = [site for site in self._registry.sites() if site.pulse.available and not site.tried(order)]
        if not sites:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline * _AUDIT_SHARE):
                await asyncio.gather(*(site.audit(order) for site in sites), return_exceptions=True)

    def _note(self, streams: dict[str, SiteStream], failures: dict[str, str], codes: dict[str, str]) -> None:
        for site in streams:
            if site not in failures:
                self._registry.succeeded(site)
            elif codes.get(site) not in (*SPARED, UNSIFTED):
                self._registry.failed(site, failures[site])

    async def _learn(self, streams: dict[str, SiteStream], making: Making) -> None:
        """Take over what the answers say of the sites themselves.

        Raises:
            CollectionsLearnt: a site gave an item of a collection that it was not known to hold, and now is.
        """
        news = []
        for call in making.plan.calls:
            reader, site = streams[call.site].reader, making.sites[call.site]
            if reader.faults or reader.overfull:
                note_faults(site, call, reader)
            if reader.foreign:
                unknown = reader.foreign - (making.sites[call.site].collection_ids or frozenset())  # not: unseen
                news += [self._registry.look_again(call.site, unknown)] if unknown else []
        if news and any(await asyncio.gather(*news)):
            raise CollectionsLearnt

    def _sites(self) -> dict[str, Site]:
        return {site.id: site for site in self._registry.sites()}

    def _view(self, site: Site, order: tuple[SortKey, ...], query: Query, sight: Sight) -> SiteView:
        held = site.collection_ids
        seen = sight.seen(site.id, held)
        blind = site.id in sight.blind
        available = site.admitted and not blind
        return SiteView(
            id=site.id,
            capabilities=site.capabilities_for(order),
            collections=seen,
            narrowed=seen != held,
            priority=site.settings.priority,
            available=available,
            reason="" if available else _why_not(site, blind=blind),
            text=self._texts.scope(query, site.id),
            ignores=site.ignored,
            kinds=site.kinds,
        )


def _why_not(site: Site, *, blind: bool) -> str:
    if blind:
        return "its collections are not known yet, and some may ask for a role"
    return f"left out after {site.pulse.failures} failures in a row: {site.pulse.reason}"


def _streams(making: Making) -> dict[str, SiteStream]:
    """Return a stream for each call of the plan, by site."""
    reading = Reading(
        parts=making.parts,
        key=making.key,
        after=making.after,
        prefix=ranked_keys(making.plan.order),
        closed=making.within != "",
    )
    return {
        call.site: SiteStream(
            call=call,
            catalogue=making.sites[call.site].catalogue,
            reading=reading,
            max_page=making.sites[call.site].settings.catalogue.max_page,
        )
        for call in making.plan.calls
    }


def _alone(groups: Sequence[Group], place: int) -> bool:
    """Tell whether a group's first value in the order is neither that of the one before it, nor of the one after."""
    here = groups[place][0].key[0]
    return place > 0 and here != groups[place - 1][0].key[0] and here != groups[place + 1][0].key[0]


def _accept(page: Page, required: frozenset[str]) -> None:
    missing = [report for report in page.reports if report.missing]
    reasons = "; ".join(_told(report) for report in missing)
    if required.intersection(page.missing):
        raise PartialRefused(reasons, missing)
    if missing and not any(report.status == "answered" for report in page.reports):
        raise AllSitesFailed(reasons, missing)


def _told(report: SiteReport) -> str:
    return report.reason if report.reason.startswith(f"{report.site}: ") else f"{report.site}: {report.reason}"
