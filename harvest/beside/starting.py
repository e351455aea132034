"""Processes beside this one, started: a fresh interpreter, a socket that nobody else has, and no secrets."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from harvest.beside.wire import Pipe

_HANDED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables of the environment that a process is given. All others may be secrets."""

_ROOT = Path(__file__).parents[2]


class Started(NamedTuple):
    """A process, and our end of its socket."""

    process: Process
    pipe: Pipe


Start = Callable[[], Awaitable[Started]]


async def started() -> Started:
    """Start a process; it runs the same release as this one.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "harvest.beside.child", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=DEVNULL, stdout=DEVNULL, env=_environment(),
            )  # fmt: skip
        except BaseException:  # also where the start is given up
            ours.close()
            raise
    _, pipe = await asyncio.get_running_loop().create_unix_connection(Pipe, sock=ours)
    return Started(process, pipe)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return kept | {"PYTHONPATH": str(_ROOT), "MALLOC_ARENA_MAX": "1"}
