"""What the standard routes need of users' own collections, which are written by a room of their own."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from edges.errors import NotFound
from edges.model import Json
from gateway.answers import Handler


async def _none(request: web.Request) -> web.StreamResponse:
    raise NotFound("this gateway keeps no collections of users")


def _untagged(name: str) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class OwnCollections:
    """``create`` makes a collection of a request, ``tag`` gives the entity tag of one; ``kept``: there can be some."""

    create: Handler = _none
    tag: Callable[[str], str | None] = _untagged
    kept: bool = False


def makes_one(members: Json) -> bool:
    """Tell whether the body of ``POST /collections`` is a collection to be made; a search has no ``type``."""
    return members.get("type") == "Collection"
