"""Which links of a site are followed: those that stay below its own address. Pure."""

import functools

from yarl import URL

from edges.errors import SiteMisbehaved

MAX_LINK = 16_384
"""Longest address that is followed, in characters."""
_HIDDEN = ("%2e", "%2f", "%5c", "\\")
"""Dots and slashes that some servers decode after they have checked a path."""


@functools.lru_cache(maxsize=256)
def followed(site: str, base: URL, href: str, *, asked: str) -> str:
    """Return the address of a link as it is to be asked; a relative one starts at the address that was ``asked``.

    Kept: sites that page by POST give the same address on every page.

    Raises:
        SiteMisbehaved: it is no address, or leads to another scheme, host, port or base path, or holds credentials:
            what is sent there would carry ours to a stranger.
    """
    try:
        given = URL(href[: MAX_LINK + 1])
        url = given if given.absolute else URL(asked, encoded=True).join(given)
        away = url.origin() != base.origin() or url.user is not None or url.password is not None
    except ValueError as error:
        raise SiteMisbehaved(site, "its next link is no address") from error
    if away or len(href) > MAX_LINK or not _is_below(url, base):
        raise SiteMisbehaved(site, "its next link leads to another origin or path")
    return str(url)


def _is_below(url: URL, base: URL) -> bool:
    own = base.path.rstrip("/")
    raw = url.raw_path.lower()
    if any(hidden in raw for hidden in _HIDDEN):
        return False
    return url.path == own or url.path.startswith(f"{own}/")
