"""Addresses of downloads: ``/data/{site}/{collection}/{item}/{asset}``. Pure.

Any text can be a part. What is not unreserved (RFC 3986 section 2.3) is percent-encoded as UTF-8. A part that would be
empty, or that clients take for a step up (``.`` and ``..``, also where their dots are encoded: WHATWG URL section 4.4),
is written with a ``~`` before it; and so is one that begins with ``~``, to keep it apart.
"""

from urllib.parse import quote, unquote_to_bytes

from edges.errors import NotFound
from edges.model import Frozen

ROOT = "/data"
ROUTE = ROOT + "/{site}/{collection}/{item}/{asset}"
"""The pattern of the route; its parts are read from the raw path, by :func:`data_place`."""
_PARTS = 4
_MARK = "~"


class DataPlace(Frozen):
    """What a download's address names: the site's id, the collection and item as we call them, the asset's key."""

    site: str
    collection: str
    item: str
    asset: str


def data_path(*, site: str, collection: str, item: str, asset: str) -> str:
    """Return the path of a download, from the root of the gateway.

    >>> data_path(site="hub", collection="s2", item="..", asset="GRANULE/B01.jp2")
    '/data/hub/s2/~../GRANULE%2FB01.jp2'
    """
    return "/".join([ROOT, *map(_encoded, (site, collection, item, asset))])


def download_href(base: str, *, site: str, collection: str, item: str, asset: str) -> str:
    """Return the address of a download; ``base`` is the gateway's public URL."""
    return base.rstrip("/") + data_path(site=site, collection=collection, item=item, asset=asset)


def data_place(raw_path: str) -> DataPlace:
    """Return what a path names: the inverse of :func:`data_path`.

    ``raw_path`` is still percent-encoded, from the root of the gateway.

    Raises:
        NotFound: it is no path of a download.
    """
    parts = raw_path.removeprefix(ROOT + "/").split("/")
    if not raw_path.startswith(ROOT + "/") or len(parts) != _PARTS or not all(parts):
        raise NotFound("a download is at /data/{site}/{collection}/{item}/{asset}")
    site, collection, item, asset = map(_decoded, parts)
    return DataPlace(site=site, collection=collection, item=item, asset=asset)


def _encoded(part: str) -> str:
    if part in ("", ".", "..") or part.startswith(_MARK):
        part = _MARK + part
    return quote(part, safe="")


def _decoded(part: str) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise NotFound("the path of a download is UTF-8, percent-encoded") from error
    return text.removeprefix(_MARK)
