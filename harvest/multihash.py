"""Checksums as STAC's File extension writes them: multihash, lowercase hex (file v2.1.0). Pure."""

from typing import NamedTuple

_CODES: dict[str, tuple[str, int]] = {
    "1114": ("sha1", 20),
    "1220": ("sha256", 32),
    "2030": ("sha384", 48),
    "1340": ("sha512", 64),
    "d50110": ("md5", 16),
    "e50208": ("crc64nvme", 8),
}
"""Multicodec varint and digest length, in hex -> name of the function, digest size in bytes."""

_PREFIXES = {algorithm: code for code, (algorithm, _) in _CODES.items()}


class Checksum(NamedTuple):
    """One checksum: the name of the function (hashlib's, or ``crc64nvme``), and the digest."""

    algorithm: str
    digest: bytes


def parse(text: object) -> Checksum | None:
    """Return the checksum that a multihash tells, or None where it is none that we can check.

    A bare MD5 (as some providers write it) has no prefix that says what it is: it is not believed.

    >>> parse("1220" + "ab" * 32).algorithm
    'sha256'
    >>> parse("d41d8cd98f00b204e9800998ecf8427e") is None
    True
    """
    if not isinstance(text, str):
        return None
    lowered = text.lower()
    for code, (algorithm, size) in _CODES.items():
        if lowered.startswith(code) and len(lowered) == len(code) + 2 * size:
            try:
                return Checksum(algorithm, bytes.fromhex(lowered[len(code) :]))
            except ValueError:
                return None
    return None


def text(checksum: Checksum) -> str:
    """Return the multihash of a checksum.

    >>> text(Checksum("crc64nvme", bytes(8)))
    'e502080000000000000000'
    """
    return _PREFIXES[checksum.algorithm] + checksum.digest.hex()


def of_sha256(digest: bytes) -> str:
    """Return the multihash of a SHA-256 digest.

    >>> of_sha256(bytes(32))[:8]
    '12200000'
    """
    return "1220" + digest.hex()
