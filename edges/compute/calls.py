"""One bounded call to an edge's REST API, its failures as the errors of this package."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.http import read_bounded
from edges.model import Frozen

MAX_ANSWER_BYTES = 8 << 20
"""A list of clusters or kernelspecs is kilobytes; a hostile edge shall not fill our memory."""


class Answer(Frozen):
    """A response, read whole."""

    status: int
    body: bytes
    content_type: str = ""

    def json(self, site: str) -> Any:
        """Decode the body.

        Raises:
            SiteMisbehaved: it is not JSON.
        """
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise SiteMisbehaved(site, f"answered {self.status} with a body that is not JSON") from error


class Rest:
    """The REST API of one edge, below ``base``. The session keeps no cookies; whoever gave it closes it."""

    def __init__(self, *, site: str, base: str, session: aiohttp.ClientSession, timeout_seconds: float) -> None:
        self.site = site
        self.base = base.rstrip("/")
        self._session = session
        self._timeout = timeout_seconds

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Any = None,
        extra_seconds: float = 0.0,
    ) -> Answer:
        """Call the edge; ``extra_seconds`` is what it may hold a long poll on top of the time-out.

        Raises:
            SiteUnavailable: no connection, no answer in time, or 502 to 504.
            SiteMisbehaved: the answer is too large, or a redirect.
        """
        try:
            async with self._session.request(
                method,
                self.base + path,
                json=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout + extra_seconds),
            ) as response:
                content = await read_bounded(response, site=self.site, limit=MAX_ANSWER_BYTES)
                return self._checked(response, content)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise SiteUnavailable(self.site, f"no answer: {reason}") from error

    def _checked(self, response: aiohttp.ClientResponse, content: bytes) -> Answer:
        if 300 <= response.status < 400:
            raise SiteMisbehaved(self.site, f"answered with a redirect ({response.status})")
        if response.status in (502, 503, 504):
            raise SiteUnavailable(self.site, f"answered {response.status}")
        return Answer(status=response.status, body=content, content_type=response.content_type)
