"""Reading request bodies no further than they may be, and answering with JSON."""

from typing import Any

import msgspec
from aiohttp import web

from edges.model import Bytes, Json


class BodyTooLarge(Exception):
    """The body of a request is larger than its face takes."""

    status = 413
    title = "Request body too large"


async def read_body(request: web.Request, most: int) -> bytes:
    """Return the body of a request, as decoded from its transfer.

    Raises:
        BodyTooLarge: it has more than ``most`` bytes; no more than that were read.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_chunked(1 << 16):
        size += len(part)
        if size > most:
            raise BodyTooLarge(f"the body may have at most {most} bytes")
        parts.append(part)
    return b"".join(parts)


def json_response(value: Json, kind: str = "application/json", status: int = 200) -> web.Response:
    """Return a JSON document."""
    return bytes_response(msgspec.json.encode(value), kind, status)


def bytes_response(body: Bytes, kind: str, status: int = 200) -> web.Response:
    """Return a document that is JSON already; compressed for whoever can read that."""
    headers: dict[str, Any] = {"Content-Type": kind}
    response = web.Response(status=status, body=body, headers=headers)
    if len(body) > 1_024:
        response.enable_compression()
    return response
