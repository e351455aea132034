"""Ports for servers of tests that must know theirs before they listen.

Taken from below those that the system gives to outgoing connections (Linux: from 32768): between the look and the
listening, some connection of another test would otherwise take one now and then.
"""

import random
import socket

_FIRST, _LAST = 20_000, 32_000
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    for _ in range(200):
        port = _random.randint(_FIRST, _LAST)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError(f"no free port from {_FIRST} to {_LAST}")
