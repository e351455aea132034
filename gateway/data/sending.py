"""Bytes to a client, no faster than it takes them; one that stops taking them is dropped."""

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from edges.errors import EdgeError
from gateway.data.egress import Meter
from gateway.data.metrics import End
from quotas.errors import QuotaError

_LEAST, _MOST = 64 << 10, 1 << 20
"""Bytes that are handed over at once. What a client does not take stays in memory a second time: so a client gets more
at once only while it takes all of it."""
WINDOW = 5
"""Over so many times of patience the rate of a client is measured."""
_log = logging.getLogger(__name__)


async def send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[bytes],
    *,
    meter: Meter,
    stall_seconds: float,
    least_rate: float,
) -> End:
    """Send pieces on a response that has begun; tell how it ended, and count the bytes in ``meter``.

    A client ends as ``stalled`` that takes nothing for ``stall_seconds``, or over ``WINDOW`` times as long less than
    ``least_rate`` bytes a second: it would hold its place for ever.

    Whatever ends it early breaks the connection off: a client shall not take a part for the whole.
    """
    try:
        async with asyncio.timeout(None) as patience:
            await _pumped(request, response, pieces, meter, _Patience(patience, stall_seconds, least_rate))
    except TimeoutError:
        end: End = "stalled"
    except ConnectionError:
        end = "left"
    except (EdgeError, QuotaError) as error:
        _log.warning("a download broke off", extra={"error": str(error)[:300], "sent": meter.sent})
        end = "broken"
    except BaseException:  # a defect, or the gateway ends: a part must not look like the whole
        _break_off(request, meter)
        raise
    else:
        return "sent"
    _break_off(request, meter)
    return end


async def _pumped(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[bytes],
    meter: Meter,
    patience: "_Patience",
) -> None:
    at_once = _LEAST
    async for piece in pieces:
        await meter.cover(len(piece))
        start, view = 0, memoryview(piece)
        while start < len(piece):
            part = view[start : start + at_once]
            start += len(part)
            meter.sent += len(part)
            patience.begin()
            await response.write(part)
            patience.took(len(part))
            at_once = _following(at_once, waiting=_waiting(request))
        patience.end()  # the site is waited for by its own clock
    patience.begin()
    await response.write_eof()


def _following(at_once: int, *, waiting: int) -> int:
    """Return how much to hand over next, where so many bytes wait to be taken."""
    return max(_LEAST, at_once // 2) if waiting else min(_MOST, at_once * 2)


def _waiting(request: web.Request) -> int:
    transport = request.transport
    return transport.get_write_buffer_size() if transport is not None else 0


class _Patience:
    """The time that a client has to take what it was handed; the site's time is not counted."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float, least_rate: float) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._least_rate = least_rate
        self._clock = asyncio.get_running_loop().time
        self._since = 0.0
        self._spent = 0.0
        self._taken = 0

    def begin(self) -> None:
        """Let the time begin."""
        self._since = self._clock()
        self._timeout.reschedule(self._since + self._seconds)

    def took(self, count: int) -> None:
        """Note that the client took so many bytes since ``begin``.

        Raises:
            TimeoutError: it is too slow.
        """
        self._spent += self._clock() - self._since
        self._taken += count
        if self._spent < WINDOW * self._seconds:
            return
        if self._taken < self._least_rate * self._spent:
            raise TimeoutError
        self._spent, self._taken = 0.0, 0

    def end(self) -> None:
        """Let it rest."""
        self._timeout.reschedule(None)


def _break_off(request: web.Request, meter: Meter) -> None:
    """Close the connection at once; what still waits here was not sent."""
    transport = request.transport
    if transport is not None:
        meter.sent = max(0, meter.sent - _waiting(request))
        transport.abort()
