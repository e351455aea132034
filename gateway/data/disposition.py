"""The name under which a download is kept. Pure.

Sources: RFC 6266 (Content-Disposition), RFC 8187 (``filename*``).
"""

import mimetypes
import re
from urllib.parse import quote, unquote, urlsplit

_BAD = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+')
"""What no file system takes, what would be a path, and what makes a name look like another."""
_LONGEST = 180
_EXTENSIONS = {"image/tiff": ".tif", "application/json": ".json", "application/geo+json": ".geojson"}
_ATTR_CHARS = "!#$&+-.^_`|~"


def attachment(filename: str) -> str:
    r"""Return the field's value. The plain name is always there, and always quoted: clients look for the quotes.

    >>> attachment('B01 "x".tif')
    'attachment; filename="B01 _x_.tif"'
    >>> attachment("Zürich.tif")
    'attachment; filename="Z_rich.tif"; filename*=UTF-8\'\'Z%C3%BCrich.tif'
    """
    name = safe_name(filename) or "download"
    plain = "".join(each if each.isascii() else "_" for each in name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def safe_name(name: str) -> str:
    """Return a name that is one, or nothing: no path, no control characters, not too long; its ending is kept."""
    kept = _BAD.sub("_", name).strip(" .")
    if len(kept) > _LONGEST:
        stem, dot, ending = kept.rpartition(".")
        kept = f"{stem[: _LONGEST - 12]}.{ending}" if dot and len(ending) <= 10 else kept[:_LONGEST]
    return kept


def name_of(*, told: str, href: str, item: str, asset: str, media_type: str) -> str:
    """Return how to call a download: as the site says, else by the end of its address, else by item and asset."""
    if name := safe_name(told):
        return name
    last = safe_name(unquote(urlsplit(href).path.rstrip("/").rpartition("/")[2]))
    if "." in last.strip("."):
        return last
    kind = media_type.partition(";")[0].strip().lower()
    ending = _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ""
    own = asset if "." in asset else f"{item}_{asset}{ending}"
    return safe_name(own.rpartition("/")[2]) or "download"
