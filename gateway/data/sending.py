"""Bytes to a client, no faster than it takes them; one that stops taking them is dropped."""

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from edges.errors import EdgeError
from gateway.data.egress import Meter
from gateway.data.metrics import End
from quotas.errors import QuotaError

_log = logging.getLogger(__name__)


async def send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[bytes],
    *,
    meter: Meter,
    stall_seconds: float,
) -> End:
    """Send pieces on a response that has begun; tell how it ended, and count the bytes in ``meter``.

    Whatever ends it early breaks the connection off: a client shall not take a part for the whole.
    """
    try:
        async with asyncio.timeout(None) as patience:
            await _pumped(response, pieces, meter, patience, stall_seconds)
    except TimeoutError:
        end: End = "stalled"
    except ConnectionError:
        end = "left"
    except (EdgeError, QuotaError) as error:
        _log.warning("a download broke off", extra={"error": str(error)[:300], "sent": meter.sent})
        end = "broken"
    except BaseException:
        _break_off(request, meter)
        raise
    else:
        return "sent"
    _break_off(request, meter)
    return end


async def _pumped(
    response: web.StreamResponse,
    pieces: AsyncIterator[bytes],
    meter: Meter,
    patience: asyncio.Timeout,
    stall_seconds: float,
) -> None:
    loop = asyncio.get_running_loop()
    async for piece in pieces:
        await meter.cover(len(piece))
        meter.sent += len(piece)
        patience.reschedule(loop.time() + stall_seconds)
        await response.write(piece)
        patience.reschedule(None)  # the site is waited for by its own clock
    patience.reschedule(loop.time() + stall_seconds)
    await response.write_eof()


def _break_off(request: web.Request, meter: Meter) -> None:
    """Close the connection at once; what still waits here was not sent."""
    transport = request.transport
    if transport is not None:
        meter.sent = max(0, meter.sent - transport.get_write_buffer_size())
        transport.abort()
