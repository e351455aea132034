"""Answers of the faces that speak STAC: what a client may send and accept, and what it may keep (RFC 9110, 9111)."""

import functools
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec
from aiohttp import hdrs, web

from edges.model import Bytes
from edges.stac.links import JSON_TYPE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FRESH = "max-age=60"
"""How long a client may keep what describes the catalogue without asking again; the sites are asked as often."""

_NO_JSON = ("application/x-www-form-urlencoded", "multipart/", "text/html", "text/csv", "image/", "audio/", "video/")


class NotAcceptable(Exception):
    """The client accepts nothing that can be given."""

    status: ClassVar[int] = 406
    title: ClassVar[str] = "Not acceptable"


class UnsupportedMediaType(Exception):
    """The body is of a kind that is no JSON."""

    status: ClassVar[int] = 415
    title: ClassVar[str] = "Unsupported media type"


def json_answer(
    request: web.Request, content: Any, kind: str = JSON_TYPE, *, keep: bool = True, tag: str | None = None
) -> web.Response:
    """Return a document that describes the catalogue; 304 where the client has it already.

    ``keep`` is False where it is not whole: a site is missing. ``tag`` is the entity tag of one that can be changed.
    """
    body = msgspec.json.encode(content)
    if tag is None:
        return body_answer(request, body, kind, keep=keep)
    headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "private, no-cache"}
    if _has(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers | {hdrs.CONTENT_TYPE: kind})


def body_answer(request: web.Request, body: bytes, kind: str, *, keep: bool = True) -> web.Response:
    """Return a document that is encoded already; see :func:`json_answer`."""
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: FRESH if keep else "no-cache"}
    if _has(request, tag):
        return web.Response(status=304, headers=headers)
    response = web.Response(body=body, headers=headers)
    response.headers[hdrs.CONTENT_TYPE] = kind
    return response


def kept_apart(restricts: Callable[[], bool]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what tells caches that answers differ by who asks, where they do: no shared cache may keep one."""

    async def tell(request: web.Request, response: web.StreamResponse) -> None:
        if not restricts():
            return
        told = response.headers.get(hdrs.CACHE_CONTROL, "no-cache")
        if "no-store" not in told and "private" not in told:
            response.headers[hdrs.CACHE_CONTROL] = f"private, {told}"
        told = response.headers.get(hdrs.VARY, "")
        response.headers[hdrs.VARY] = f"{told}, Authorization, Cookie" if told else "Authorization, Cookie"

    return tell


def _has(request: web.Request, tag: str) -> bool:
    given = request.headers.get(hdrs.IF_NONE_MATCH, "")
    return given.strip() == "*" or tag.removeprefix("W/") in [
        each.strip().removeprefix("W/") for each in given.split(",")
    ]


def only_utf8(body: Bytes) -> Bytes:
    """Let no invalid UTF-8 of a site pass: raw members were never decoded."""
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


def json_only(handler: Handler, kinds: tuple[str, ...] = ()) -> Handler:
    """Wrap a handler: it gives JSON (or one of ``kinds``), and takes no body of another kind.

    Any JSON is as good as another, and a body without a type is taken for JSON: clients are careless about both.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        _check_accept(request, kinds)
        if request.method == "POST":
            _check_content(request)
        return await handler(request)

    return handle


def _check_accept(request: web.Request, kinds: tuple[str, ...]) -> None:
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
    if not _acceptable(accepted, kinds):
        raise NotAcceptable(f"the client accepts {accepted[:100]}; this is {' or '.join(kinds) or 'JSON'}")


@functools.lru_cache(maxsize=64)
def _acceptable(accepted: str, kinds: tuple[str, ...]) -> bool:
    ranges = [part.partition(";") for part in accepted.lower().split(",") if part.strip()]
    wanted = [kind.strip() for kind, _, rest in ranges if "q=0" not in rest.replace(" ", "").split(";")]
    return not ranges or any(_fits(kind, kinds) for kind in wanted)


def _fits(kind: str, kinds: tuple[str, ...]) -> bool:
    if kind in ("*/*", "application/*") or kind in kinds:
        return True
    if any(kind == f"{each.partition('/')[0]}/*" for each in kinds):
        return True
    return not kinds and kind.startswith("application/") and kind.endswith("json")


def _check_content(request: web.Request) -> None:
    kind = request.headers.get(hdrs.CONTENT_TYPE, "").lower()
    if kind.startswith(_NO_JSON) or kind.partition(";")[0].strip().endswith("xml"):
        raise UnsupportedMediaType(f"a body of {kind[:80]}; expected {JSON_TYPE}")
