"""Errors of faces whose clients read a shape of their own: what is told in it, and what is left to the middleware."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import hdrs, web

from edges.model import Frozen, Json
from gateway.quota.problem import again, detail_of, violated
from quotas.errors import QuotaExceeded
from quotas.model import Refusal

Answer = TypeVar("Answer", bound=web.StreamResponse)


class Told(Frozen):
    """What an error tells: a text for people, ``members`` with the numbers of a refusal, for programs."""

    status: int
    text: str
    members: Json
    headers: dict[str, str]


def told_of(error: Exception, *, challenge: str) -> Told:
    """Return what an error tells; ``challenge`` is the ``WWW-Authenticate`` of who has not said who asks."""
    status: int = getattr(error, "status", 500)
    headers: dict[str, str] = {hdrs.WWW_AUTHENTICATE: challenge} if status == 401 else {}
    text = detail_of(error.refusal) if isinstance(error, QuotaExceeded) else str(error)
    refusal = getattr(error, "refusal", None)
    if not isinstance(refusal, Refusal):
        return Told(status=status, text=text, members={}, headers=headers)
    return Told(status=status, text=text, members=violated(refusal), headers=headers | again(refusal))


async def shaped(answering: Awaitable[Answer], shape: Callable[[Exception], Answer]) -> Answer:
    """Return the answer, or the error in the client's shape. What has no status is a defect, and is raised as it is."""
    try:
        return await answering
    except web.HTTPException:
        raise
    except Exception as error:
        # the boundary of a face: the gateway's middleware logs defects, and tells them without their trace
        if not isinstance(getattr(error, "status", None), int):
            raise
        return shape(error)
