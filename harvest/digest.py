"""SHA-256 whose state can be kept: a transfer that resumes after a crash need not read its beginning again.

``hashlib`` hides the state of a running hash. The same library (libcrypto) has ``SHA256_CTX``, a plain
structure of 112 bytes that is public since OpenSSL 0.9.8 (``openssl/sha.h``); it can be copied out and in.
Where it cannot be reached, ``hashlib`` does the work and there is no state to keep: the beginning is then
read again, for the hash alone.
"""

import ctypes
import hashlib
import sys

from harvest.multihash import Checksum

_CONTEXT_BYTES = 112
_TAG = f"openssl-sha256-{sys.byteorder}-1:".encode()


def _libcrypto() -> ctypes.CDLL | None:
    """Return libcrypto as :mod:`hashlib` itself loaded it, if it has the functions and they work."""
    import_path = getattr(sys.modules.get("_hashlib"), "__file__", None)
    if import_path is None:
        return None
    try:
        library = ctypes.CDLL(import_path)
        for name, arguments in (
            ("SHA256_Init", [ctypes.c_char_p]),
            ("SHA256_Update", [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
            ("SHA256_Final", [ctypes.c_char_p, ctypes.c_char_p]),
        ):
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


class Digest:
    """The SHA-256 of a stream and, beside it, any other hash that the announced checksum needs.

    ``update`` releases the interpreter lock, so it may run in a thread; one call at a time.
    """

    def __init__(self, expected: Checksum | None = None, *, state: bytes | None = None) -> None:
        self._library = _LIBRARY
        self._context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        self._plain = hashlib.sha256()
        self._expected = expected
        other = expected is not None and expected.algorithm != "sha256"
        self._other = hashlib.new(expected.algorithm, usedforsecurity=False) if expected and other else None
        if self._library is not None:
            self._library.SHA256_Init(self._context)
            if state is not None:
                self._context.raw = state[len(_TAG) :]

    @staticmethod
    def resumable(state: bytes | None, expected: Checksum | None) -> bool:
        """Tell whether a kept state can be gone on from: here, and for this checksum."""
        right = state is not None and state.startswith(_TAG) and len(state) == len(_TAG) + _CONTEXT_BYTES
        return right and _LIBRARY is not None and (expected is None or expected.algorithm == "sha256")

    def update(self, data: bytes) -> None:
        """Take the next bytes in."""
        if self._library is not None:
            self._library.SHA256_Update(self._context, data, len(data))
        else:
            self._plain.update(data)
        if self._other is not None:
            self._other.update(data)

    def state(self) -> bytes | None:
        """Return what :class:`Digest` can go on from, or None where that is not possible."""
        if self._library is None or self._other is not None:
            return None
        return _TAG + self._context.raw[:_CONTEXT_BYTES]

    def sha256(self) -> bytes:
        """Return the SHA-256 of what came so far."""
        if self._library is None:
            return self._plain.digest()
        last = ctypes.create_string_buffer(self._context.raw, _CONTEXT_BYTES)
        digest = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(digest, last)
        return digest.raw

    def matches(self) -> bool:
        """Tell whether what came has the announced checksum (true where none was announced)."""
        if self._expected is None:
            return True
        found = self.sha256() if self._other is None else self._other.digest()
        return found == self._expected.digest


def _checked(library: ctypes.CDLL | None) -> ctypes.CDLL | None:
    """Return the library if it hashes rightly, also after its state was copied."""
    if library is None:
        return None
    context, moved = (ctypes.create_string_buffer(_CONTEXT_BYTES) for _ in range(2))
    library.SHA256_Init(context)
    library.SHA256_Update(context, b"a" * 100, 100)
    moved.raw = context.raw
    library.SHA256_Update(moved, b"b" * 100, 100)
    digest = ctypes.create_string_buffer(32)
    library.SHA256_Final(digest, moved)
    return library if digest.raw == hashlib.sha256(b"a" * 100 + b"b" * 100).digest() else None


_LIBRARY = _checked(_libcrypto())
