"""The checksum of a stream, whose state can be kept: what resumes after a crash need not read its beginning again.

What an item announces is what is computed; where it announces nothing, CRC-64/NVME is (fifty times cheaper than
SHA-256), or SHA-256 where the configuration says so.

``hashlib`` hides the state of a running hash. The same library (libcrypto) has ``SHA256_CTX``, a plain structure of
112 bytes that is public since OpenSSL 0.9.8 (``openssl/sha.h``); it can be copied out and in. Where it cannot be
reached, and for other hashes, there is no state to keep: the beginning is then read again, for the hash alone.
"""

import ctypes
import hashlib
import sys
from collections.abc import Iterable
from typing import Literal, Protocol

from awscrt import checksums

from edges.lines.sockets import Buffer
from harvest import multihash
from harvest.multihash import Checksum

Kept = Literal["crc64nvme", "sha256"]
"""What is computed where nothing is announced."""

_CONTEXT_BYTES = 112
_SHA256_TAG = f"openssl-sha256-{sys.byteorder}-1:".encode()
_CRC_TAG = b"crc64nvme-1:"


class _Running(Protocol):
    """A hash at work."""

    def update(self, data: Buffer) -> None: ...
    def digest(self) -> bytes: ...
    def state(self) -> bytes | None: ...


class Digest:
    """One checksum of a stream: the announced one, else ``otherwise``. ``state`` is what :meth:`state` gave."""

    def __init__(
        self, expected: Checksum | None = None, *, state: bytes | None = None, otherwise: Kept = "crc64nvme"
    ) -> None:
        self._expected = expected
        self.algorithm: str = expected.algorithm if expected else otherwise
        self._running = _running(self.algorithm, state)

    @staticmethod
    def resumable(state: bytes | None, expected: Checksum | None, otherwise: Kept = "crc64nvme") -> bool:
        """Tell whether a kept state can be gone on from: here, and for this checksum."""
        if state is None:
            return False
        algorithm = expected.algorithm if expected else otherwise
        if algorithm == "crc64nvme":
            return state.startswith(_CRC_TAG) and len(state) == len(_CRC_TAG) + 8
        right = state.startswith(_SHA256_TAG) and len(state) == len(_SHA256_TAG) + _CONTEXT_BYTES
        return right and _LIBRARY is not None and algorithm == "sha256"

    @staticmethod
    def of_parts(
        parts: Iterable[tuple[int, int]], expected: Checksum | None = None, *, otherwise: Kept = "crc64nvme"
    ) -> "Digest":
        """Return the CRC-64/NVME of parts one after the other, each told by its own and its size in bytes."""
        whole = 0
        for crc, size in parts:
            whole = checksums.combine_crc64nvme(whole, crc, size)
        return Digest(expected, state=_CRC_TAG + whole.to_bytes(8, "big"), otherwise=otherwise)

    def update(self, data: Buffer) -> None:
        """Take the next bytes in."""
        self._running.update(data)

    def state(self) -> bytes | None:
        """Return what :class:`Digest` can go on from, or None where that is not possible."""
        return self._running.state()

    def checksum(self) -> Checksum:
        """Return the checksum of what came so far."""
        return Checksum(self.algorithm, self._running.digest())

    def multihash(self) -> str:
        """Return it as STAC writes it."""
        return multihash.text(self.checksum())

    def matches(self) -> bool:
        """Tell whether what came has the announced checksum (true where none was announced)."""
        return self._expected is None or self._running.digest() == self._expected.digest


def _running(algorithm: str, state: bytes | None) -> _Running:
    if algorithm == "crc64nvme":
        return _Crc64(state)
    if algorithm == "sha256" and _LIBRARY is not None:
        return _Sha256(_LIBRARY, state)
    return _Plain(algorithm)


class _Crc64:
    def __init__(self, state: bytes | None) -> None:
        self._value = int.from_bytes(state[len(_CRC_TAG) :], "big") if state else 0

    def update(self, data: Buffer) -> None:
        self._value = checksums.crc64nvme(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(8, "big")

    def state(self) -> bytes:
        return _CRC_TAG + self.digest()


class _Sha256:
    def __init__(self, library: ctypes.CDLL, state: bytes | None) -> None:
        self._library = library
        self._context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        library.SHA256_Init(self._context)
        if state is not None:
            self._context.raw = state[len(_SHA256_TAG) :]

    def update(self, data: Buffer) -> None:
        self._library.SHA256_Update(self._context, _pointer(data), len(data))

    def digest(self) -> bytes:
        last = ctypes.create_string_buffer(self._context.raw, _CONTEXT_BYTES)
        digest = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(digest, last)
        return digest.raw

    def state(self) -> bytes:
        return _SHA256_TAG + self._context.raw[:_CONTEXT_BYTES]


def _pointer(data: Buffer) -> "bytes | ctypes._CArgObject":
    """Return where bytes are, without a copy of those that can be written."""
    if isinstance(data, bytes) or not len(data):
        return bytes(data)
    try:
        return ctypes.byref(ctypes.c_char.from_buffer(data))
    except (TypeError, BufferError):  # of a view that cannot be written, or is not in one piece
        return bytes(data)


class _Plain:
    def __init__(self, algorithm: str) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: Buffer) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest()

    def state(self) -> None:
        return None


def _libcrypto() -> ctypes.CDLL | None:
    """Return libcrypto as :mod:`hashlib` itself loaded it, if it has the functions and they work."""
    import_path = getattr(sys.modules.get("_hashlib"), "__file__", None)
    if import_path is None:
        return None
    try:
        library = ctypes.CDLL(import_path)
        for name, arguments in (
            ("SHA256_Init", [ctypes.c_char_p]),
            ("SHA256_Update", [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]),
            ("SHA256_Final", [ctypes.c_char_p, ctypes.c_char_p]),
        ):
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


def _checked(library: ctypes.CDLL | None) -> ctypes.CDLL | None:
    """Return the library if it hashes rightly, also after its state was copied."""
    if library is None:
        return None
    first = _Sha256(library, None)
    first.update(b"a" * 100)
    second = _Sha256(library, first.state())
    second.update(b"b" * 100)
    return library if second.digest() == hashlib.sha256(b"a" * 100 + b"b" * 100).digest() else None


_LIBRARY = _checked(_libcrypto())
