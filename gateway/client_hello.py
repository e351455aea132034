"""PURE: the server name of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), read within bounds."""

MAX_HELLO_BYTES = 16 << 10
"""A ClientHello with post-quantum key shares is about 2 KiB; nobody needs more than one record."""

_HANDSHAKE, _CLIENT_HELLO = 0x16, 0x01
_SERVER_NAME, _HOST_NAME = 0, 0


class HelloRefused(Exception):
    """The bytes are no ClientHello that we read, or it names no server."""


class NoServerName(HelloRefused):
    """It is a ClientHello, and names no server."""


class _Reader:
    """Reads forward through bytes; what is cut short is refused."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise HelloRefused("a length points past the end")
        self._at += count
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Reader":
        """Read a vector with a length of ``size`` bytes before it."""
        return _Reader(self.take(self.number(size)))

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def read_server_name(data: bytes) -> str | None:
    """Return the host name that a client asks for, or None where more bytes are needed.

    Raises:
        HelloRefused: these bytes can never become a ClientHello with a host name of at most 16 KiB.
    """
    hello = _handshake(data)
    return None if hello is None else _server_name(_Reader(hello))


def _handshake(data: bytes) -> bytes | None:
    """Join the handshake message from its records, None while it is incomplete."""
    message = bytearray()
    at = 0
    while len(data) - at >= 5:
        kind, major, length = data[at], data[at + 1], int.from_bytes(data[at + 3 : at + 5], "big")
        if kind != _HANDSHAKE or major != 3 or not 0 < length <= MAX_HELLO_BYTES:
            raise HelloRefused("not a TLS handshake record")
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message and message[0] != _CLIENT_HELLO:
            raise HelloRefused("not a ClientHello")
        if len(message) >= 4:
            size = int.from_bytes(message[1:4], "big")
            if size > MAX_HELLO_BYTES:
                raise HelloRefused("the ClientHello is too large")
            if len(message) >= 4 + size:
                return bytes(message[4 : 4 + size])
    return None


def _server_name(hello: _Reader) -> str:
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    extensions = hello.vector(2) if hello.left else _Reader(b"")
    while extensions.left:
        kind = extensions.number(2)
        body = extensions.vector(2)
        if kind == _SERVER_NAME:
            return _host_name(body.vector(2))
    raise NoServerName("no server name")


def _host_name(names: _Reader) -> str:
    while names.left:
        kind = names.number(1)
        name = names.take(names.number(2))
        if kind == _HOST_NAME:
            try:
                return name.decode("ascii").lower()
            except UnicodeDecodeError as error:
                raise HelloRefused("the server name is not ASCII") from error
    raise NoServerName("no host name")
