"""Addresses of members of zip archives, as fsspec chains them (``zip://B02.tif::https://example.org/x.zip``). Pure."""

_SCHEME = "zip://"
_CHAIN = "::"


def is_member(href: str) -> bool:
    """Tell whether an address is that of a member.

    >>> is_member("zip://B02.tif::https://example.org/x.zip"), is_member("https://example.org/x.zip")
    (True, False)
    """
    return href.startswith(_SCHEME)


def parted(href: str) -> tuple[str, str]:
    """Return the member and its archive's address; both empty where there are not exactly two.

    >>> parted("zip://a/B02.tif::https://example.org/x.zip"), parted("zip://a::zip://b::https://example.org/x.zip")
    (('a/B02.tif', 'https://example.org/x.zip'), ('', ''))
    """
    member, _, archive = href.removeprefix(_SCHEME).partition(_CHAIN)
    wrong = not is_member(href) or not member or member.endswith("/") or is_member(archive) or not archive
    return ("", "") if wrong else (member, archive)


def container_of(href: str) -> str:
    """Return the address that is really asked: of the archive for a member, else the one given.

    >>> container_of("zip://a::s3://b/x.zip"), container_of("https://example.org/y")
    ('s3://b/x.zip', 'https://example.org/y')
    """
    return parted(href)[1] if is_member(href) else href
