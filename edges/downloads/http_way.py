"""Addresses of HTTP: the site's credentials go to the origins that are its own, and nowhere else."""

import base64
from collections.abc import Iterable, Mapping

from yarl import URL

from edges.downloads.ways import Call
from edges.settings import SiteCredentials


class HttpWay:
    """Implements :class:`edges.downloads.ways.Way` for ``http`` and ``https``.

    ``credentials`` are sent to ``origins`` only (scheme, host and port): never to where a redirect leads beyond them.
    """

    def __init__(self, credentials: SiteCredentials | None = None, *, origins: Iterable[str] = ()) -> None:
        self._headers = headers_of(credentials) if credentials is not None else {}
        self._origins = frozenset(str(URL(each).origin()) for each in origins)

    def takes(self, href: str) -> bool:
        return href.startswith(("https://", "http://"))

    def is_open(self, href: str) -> bool:
        """Tell whether an address is asked without credentials of ours."""
        return not self._headers or _origin(href) not in self._origins

    async def call(self, method: str, href: str) -> Call:
        return Call(url=href, headers={} if self.is_open(href) else self._headers)


def headers_of(credentials: SiteCredentials) -> Mapping[str, str]:
    """Return the header that shows credentials.

    Raises:
        LookupError: the secret cannot be read.
    """
    secret = credentials.secret.reveal()
    if credentials.kind == "basic":
        pair = base64.b64encode(f"{credentials.user}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    if credentials.kind == "header":
        return {credentials.header: secret}
    return {"Authorization": f"Bearer {secret}"}


def _origin(href: str) -> str:
    try:
        return str(URL(href).origin())
    except ValueError:
        return ""
