"""Request bodies, read within bounds."""

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Json

MAX_BODY_BYTES = 1 << 20


async def read_object(request: web.Request, *, right: str, limit: int = MAX_BODY_BYTES) -> Json:
    """Read a JSON object; an empty body is an empty one. ``right`` says what would be right.

    Raises:
        InvalidInput: the body is larger than ``limit`` bytes, or no JSON object.
    """
    pieces = bytearray()
    async for piece in request.content.iter_any():
        pieces += piece
        if len(pieces) > limit:
            raise InvalidInput("body", "too large", f"at most {limit} bytes")
    try:
        body: Json = msgspec.json.decode(pieces or b"{}", type=dict)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput("body", "not a JSON object", right) from error
    return body
