"""Ports for servers of tests that must know theirs before they listen.

Taken from below those that the system gives to outgoing connections (Linux: from 32768): between the look and the
listening, some connection of another test would otherwise take one now and then.
"""

import os
import random
import socket

_FIRST, _LAST = 20_000, 32_000
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at.

    Never one twice, and none that another process of the same run may get: a server takes its time to listen.
    """
    share = range(_FIRST + _WORKER, _LAST, _WORKERS)
    for _ in range(200):
        port = _random.choice(share)
        if port in _given:
            continue
        try:
            with socket.create_server(("127.0.0.1", port)):
                _given.add(port)
                return port
        except OSError:
            continue
    raise OSError(f"no free port from {_FIRST} to {_LAST}")
