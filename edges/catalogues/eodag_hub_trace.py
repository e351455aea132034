"""What EODAG is asked for, told to whoever wants a search explained: the library's own requests are not seen."""

import time
from collections.abc import Awaitable

from edges.catalogues.eodag_hub_provider import Answer, Ask
from edges.errors import EdgeError
from edges.model import Json
from edges.tracing import HIDDEN, TracedRequest, current

METHOD = "EODAG"
"""In place of the method of HTTP: one search of one collection, which may be several requests to the provider."""


async def traced(site: str, ask: Ask, search: Awaitable[Answer]) -> Answer:
    """Return the answer of a search, which is noted where a trace is wanted."""
    trace = current()
    if trace is None:
        return await search
    started = time.perf_counter()
    outcome = "timeout"  # where we are cancelled, the time is up
    try:
        answer = await search
        outcome = "answered"
    except EdgeError as error:
        outcome = getattr(error, "code", "error")
        raise
    else:
        return answer
    finally:
        trace.add(
            TracedRequest(
                site=site,
                method=METHOD,
                path=f"/{ask.collection}",
                parameters=_shown(ask),
                outcome=outcome,
                milliseconds=round((time.perf_counter() - started) * 1e3, 3),
            )
        )


def _shown(ask: Ask) -> Json:
    said: Json = {
        "id": ask.item_id,
        "limit": ask.limit,
        "start": ask.start,
        "end": ask.end,
        "geom": ask.geometry,
        "sort_by": None if ask.descending is None else ["datetime", "desc" if ask.descending else "asc"],
        "token": None if ask.token is None else HIDDEN,
    }
    return {name: value for name, value in said.items() if value is not None}
