"""Every request to a site's catalogue: in its turn, in time, within bounds, and again only where that is safe."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import aiohttp

from edges.budget import earned, share, spent
from edges.deadlines import Deadline, Deadlines
from edges.errors import EdgeError, SiteMisbehaved, SiteUnavailable
from edges.hops import HOPS, hops
from edges.lines.lines import Lines
from edges.model import Frozen
from edges.observing import CallObserver, NobodyLooksOn, Outcome
from edges.retry import OVERLOADED, RESTFUL, RetryTerms, Trouble, pause_before_retry, retry_after
from edges.settings import CatalogueSettings
from edges.site_exchange import ByLines, BySession, Exchange, NoAnswer, Request, Whole
from edges.tracing import TracedRequest, current, traced_parameters, traced_path
from edges.turns import Turns

RETRY_SHARE = 0.1
"""Retries are at most this part of the requests: a site in trouble is not asked twice as much."""
RETRY_CREDIT = 10.0
"""Retries that a quiet time may save up."""


class Ask(Frozen):
    """One request. ``url`` is encoded. ``repeatable``: it may be made twice, a read or a search by POST."""

    method: str
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    repeatable: bool = True
    limit: int | None = None
    """Most bytes of the answer, decoded; None for the site's own bound."""


Answer = Whole
"""What came back."""


class _Missed(Exception):
    """A request without an answer to use: the trouble, what to raise of it, and the pause that the site asked for."""

    def __init__(self, trouble: Trouble, error: EdgeError | None, rest: float | None = None) -> None:
        super().__init__(trouble)
        self.trouble: Trouble = trouble
        self.error = error
        self.rest = rest


class SiteHttp:
    """Asks one site, by ``lines`` where they are given, else by the session.

    ``wall`` is the clock of dates in headers, since 1970.
    """

    def __init__(
        self,
        *,
        site: str,
        settings: CatalogueSettings,
        session: aiohttp.ClientSession,
        lines: Lines | None = None,
        observer: CallObserver | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._site = site
        self._own_hop = session.headers.get(HOPS, "")
        self._exchange: Exchange = BySession(site=site, session=session)
        if lines is not None:
            self._exchange = ByLines(site=site, lines=lines, otherwise=self._exchange)
        self._observer = observer or NobodyLooksOn()
        self._terms = RetryTerms()
        self._wall = wall
        self._timeout = settings.timeout_seconds
        self._deadlines = Deadlines(settings.timeout_seconds)
        self._max_bytes = settings.max_page_bytes
        self._retries = share(RETRY_SHARE, RETRY_CREDIT)
        self._turns = Turns(
            site=site,
            connections=settings.connections,
            rate=settings.rate,
            patience=min(settings.wait_seconds, settings.timeout_seconds),
            observer=self._observer,
        )

    async def fetch(self, ask: Ask) -> Answer:
        """Return the answer, whatever its status.

        Raises:
            SiteNotAsked: the site rests, or its budget is used up.
            SiteUnavailable: no answer in time, no connection, or it broke off.
            SiteMisbehaved: the answer is larger than we take.
            DestinationRefused: the address is not one that we may call.
        """
        if self._retries.credit < RETRY_CREDIT:
            self._retries = earned(self._retries)
        end = time.monotonic() + self._timeout
        try:
            with Deadline(self._deadlines):
                return await self._until_answered(ask, end)
        except TimeoutError as error:
            raise SiteUnavailable(self._site, f"no answer within {self._timeout:g} s", code="timeout") from error

    async def _until_answered(self, ask: Ask, end: float) -> Answer:
        attempt = 1
        while True:
            kept: Answer | None = None
            await self._turns.begin()
            try:
                kept = await self._once(ask)
                missed = self._overloaded(kept)
            except _Missed as error:
                missed = error
            finally:
                self._turns.end()
            if missed is None and kept is not None:
                return kept
            pause = self._pause(ask, missed, attempt, end) if missed is not None else None
            if pause is None:
                return self._given_up(kept, missed)
            attempt += 1
            await asyncio.sleep(pause)

    def _given_up(self, kept: Answer | None, missed: _Missed | None) -> Answer:
        if missed is not None and missed.rest is not None:
            self._turns.rest(missed.rest)
        if kept is not None:
            return kept
        raise (missed and missed.error) or SiteUnavailable(self._site, "no answer")

    def _pause(self, ask: Ask, missed: _Missed, attempt: int, end: float) -> float | None:
        if not ask.repeatable:
            return None
        pause = pause_before_retry(
            missed.trouble,
            attempt=attempt,
            left=end - time.monotonic(),
            jitter=random.random(),  # noqa: S311 - spreads requests, keeps no secret
            terms=self._terms,
            rest=missed.rest,
        )
        if pause is None:
            return None
        if missed.trouble != "stale":  # which cost the site nothing
            left = spent(self._retries)
            if left is None:
                return None
            self._retries = left
        self._observer.repeated(self._site, missed.trouble)
        return pause

    def _overloaded(self, answer: Answer) -> _Missed | None:
        if answer.status not in OVERLOADED:
            return None
        rest = None
        if answer.status in RESTFUL:
            rest = retry_after(answer.headers.get("retry-after"), now=self._wall(), longest=self._terms.longest_rest)
        return _Missed("overloaded" if rest is None else "throttled", None, rest)

    async def _once(self, ask: Ask) -> Answer:
        started = time.perf_counter()
        outcome: Outcome = "timeout"  # where we are cancelled, the time is up
        answer: Answer | None = None
        headers = ask.headers if not (names := hops().names) else self._through(names, ask.headers)
        try:
            whole = await self._exchange.whole(
                Request(ask.method, ask.url, headers, ask.body, ask.limit or self._max_bytes)
            )
        except SiteMisbehaved:
            outcome = "too_large"
            raise
        except TimeoutError as error:
            late = SiteUnavailable(self._site, f"no answer within {self._timeout:g} s", code="timeout")
            raise _Missed("timeout", late) from error
        except NoAnswer as error:
            outcome = "broken" if error.trouble == "broken" else "unreachable"
            raise _Missed(error.trouble, SiteUnavailable(self._site, error.reason, code=outcome)) from error
        else:
            outcome = _outcome(whole.status)
            answer = whole
            return whole
        finally:
            seconds = time.perf_counter() - started
            self._observer.called(self._site, outcome, seconds)
            self._trace(ask, outcome, seconds, answer)

    def _through(self, names: tuple[str, ...], headers: Mapping[str, str]) -> Mapping[str, str]:
        """Tell with these headers which gateways a request comes through; the session knows our own name."""
        return {HOPS: ", ".join((*names, self._own_hop)), **headers}

    def _trace(self, ask: Ask, outcome: Outcome, seconds: float, answer: Answer | None) -> None:
        trace = current()
        if trace is None:
            return
        trace.add(
            TracedRequest(
                site=self._site,
                method=ask.method,
                path=traced_path(ask.url),
                parameters=traced_parameters(ask.url, ask.body),
                outcome=outcome,
                milliseconds=round(seconds * 1e3, 3),
                status=answer.status if answer is not None else None,
                received=len(answer.body) if answer is not None else 0,
            )
        )


def _outcome(status: int) -> Outcome:
    if status < 300:
        return "answered"
    if status in (429, 503):
        return "throttled"
    return "error" if status >= 500 else "refused"
