"""Keys of objects: a safe, injective encoding of where an asset belongs. Pure."""

import hashlib
import re
from urllib.parse import unquote, urlsplit

MAX_KEY = 1024
"""Bytes of an S3 key (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

MAX_SEGMENT = 200
"""Bytes of one segment: four of them and a prefix stay below MAX_KEY, and file systems stop at 255."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_AS_IT_IS = re.compile(r"\.*[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What nearly all segments are: nothing in them is to be encoded, and they are not dots only."""


def segment(text: str, limit: int = MAX_SEGMENT) -> str:
    """Encode one segment of a key: ``A-Za-z0-9._-`` stand for themselves, any other byte of UTF-8 is ``!XX``.

    Segments of dots only, and the empty one, are encoded too, so that no ``.``, ``..`` or ``//`` can arise.
    What would be longer than ``limit`` ends in the SHA-256 of the whole (``!~`` marks it; no encoded byte
    can).

    >>> segment("S2A_MSIL2A"), segment("a/b"), segment(".."), segment("")
    ('S2A_MSIL2A', 'a!2Fb', '!2E!2E', '!')
    """
    if len(text) <= limit and _AS_IT_IS.fullmatch(text):
        return text
    if not text:
        return "!"
    raw = text.encode("utf-8", "surrogatepass")
    encoded = _UNSAFE.sub(lambda found: b"!%02X" % found.group()[0], raw).decode("ascii")
    if not encoded.strip("."):
        encoded = encoded.replace(".", "!2E")
    if len(encoded) <= limit:
        return encoded
    return f"{encoded[: limit - 66]}!~{hashlib.sha256(raw).hexdigest()}"


_PLAIN = re.compile(r"(?:https?|s3)://[\w.:-]+/(?:[\w.~!$&'()*+,;=:@-]*/)*([\w.~!$&'()*+,;=:@-]+)", re.ASCII)
"""An address without anything that is encoded, and without a query, as nearly all are; its last segment."""


def file_name(href: str) -> str:
    """Return the last segment of an address's path, decoded; the query is no part of it.

    >>> file_name("https://x.org/a/B02%20x.tif?sig=1"), file_name("https://x.org/a/B02.tif")
    ('B02 x.tif', 'B02.tif')
    """
    plain = _PLAIN.fullmatch(href)
    return plain[1] if plain is not None else unquote(urlsplit(href).path.rsplit("/", 1)[-1])


def object_key(prefix: str, collection: str, item_id: str, asset: str, href: str) -> str:
    """Return the key of an asset's copy below an encoded prefix.

    Two assets never share a key: collection, item and asset key are each a segment; the file name is there
    for people and for software that goes by it.

    >>> object_key("", "s2", "T32", "B02", "https://x.org/T32_B02.jp2")
    's2/T32/B02/T32_B02.jp2'
    """
    return prefix + "/".join(segment(text) for text in (collection, item_id, asset, file_name(href)))


TEMPLATE_NAMES = ("collection", "item_id", "asset", "year", "month", "day")
"""What a prefix may name in braces."""

_NAMED = re.compile(r"\{([^{}]*)\}")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})T")


def template_flaw(prefix: str) -> str | None:
    """Tell what is wrong with a prefix, or None.

    >>> template_flaw("{collection}/{item_id}/"), template_flaw("{user}/")
    (None, "'{user}' is not known")
    """
    for name in _NAMED.findall(prefix):
        if name not in TEMPLATE_NAMES:
            return f"'{{{name}}}' is not known"
    rest = _NAMED.sub("", prefix)
    return "a brace is left open" if "{" in rest or "}" in rest else None


def templated_key(template: str, names: tuple[str, str, str], href: str, datetime: str) -> str:
    """Return the key of an asset's copy; ``names`` are collection, item id and asset key.

    Whatever of these the template does not name follows it, so that two assets never share a key. ``template``
    begins with an encoded folder; each of its other segments is encoded here, as are the values.

    >>> templated_key("~g/!/{year}/{item_id}/", ("s2", "a/b", "B02"), "https://x.org/f.tif", "2026-05-01T10:00:00Z")
    '~g/!/2026/a!2Fb/s2/B02/f.tif'
    """
    date = _DATE.match(datetime)
    values = dict(
        zip(("collection", "item_id", "asset"), (segment(name, MAX_SEGMENT // 2) for name in names), strict=True)
    )
    values |= dict(zip(("year", "month", "day"), date.groups() if date else ("0000", "00", "00"), strict=True))
    told = _NAMED.sub(lambda found: values[found.group(1)], template).strip("/")
    rest = [values[name] for name in ("collection", "item_id", "asset") if f"/{{{name}}}/" not in f"/{template}/"]
    return "/".join([told, *rest, segment(file_name(href), MAX_SEGMENT // 2)])


def template_prefix(group: str, prefix: str) -> str:
    """Return a group's folder and a template with each literal part of it encoded.

    >>> template_prefix("root/team", "/alps 1/{collection}")
    '~root!2Fteam/!/alps!201/{collection}'
    """
    parts = [part for part in prefix.split("/") if part]
    encoded = ["".join(_encoded_parts(part)) for part in parts]
    return "/".join([f"~{segment(group, MAX_SEGMENT // 2)}/!", *encoded])


def _encoded_parts(part: str) -> list[str]:
    """Encode a segment of a template but for what is in braces."""
    pieces = re.split(r"(\{[^{}]*\})", part)
    return [piece if piece.startswith("{") else segment(piece, 60) if piece else "" for piece in pieces]


def temporary_prefix(order_id: str) -> str:
    """Return the folder of an order's temporary copies: nobody else's are in it."""
    return f"~tmp/{segment(order_id)}/"


def group_prefix(group: str, prefix: str | None) -> str:
    """Return the encoded folder of a group's own objects, or an empty text for the shared pool.

    ``~`` begins no encoded segment, so a group's folder and the pool never meet.

    >>> group_prefix("root/team", "alps/2024"), group_prefix("root/team", None)
    ('~root!2Fteam/alps!2F2024/', '')
    """
    if prefix is None:
        return ""
    half = MAX_SEGMENT // 2
    return f"~{segment(group, half)}/{segment(prefix.strip('/'), half)}/"
