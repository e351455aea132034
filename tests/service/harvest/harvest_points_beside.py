"""A process beside, each of whose writes is a point after which it can be killed; run as a program, it is that process.

Its writes are what it puts into the bucket, what it tells, and what it is answered: between telling an act and the
answer the gateway writes it down.
"""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

from harvest_points import Points
from waiting import until

from harvest.beside import child
from harvest.beside.starting import Start, Started
from harvest.beside.wire import Pipe


def noting(notes: Path, fatal: int) -> Start:
    """Return what starts a process that notes its writes, and is killed after the ``fatal`` one."""

    async def start() -> Started:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, str(theirs.fileno()), str(notes), str(fatal),
                pass_fds=[theirs.fileno()], stdin=DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
        _, pipe = await asyncio.get_running_loop().create_unix_connection(Pipe, sock=ours)
        return Started(process, pipe)

    return start


async def begun(live, start: Start | None = None) -> int:
    """Let a process begin before there are as many objects as are worth one; return its id once it takes some."""
    crew = live.harvester._crew
    crew._start = start or crew._start
    crew._begin()
    await until(lambda: live.harvester.crew().living, seconds=30, pause=0.02)
    return live.harvester.crew().living[0].pid


def is_there(pid: int) -> bool:
    """Tell whether a process is there, and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    Points(Path(sys.argv[2]), int(sys.argv[3])).watch_beside()
    child.main(sys.argv)
    os._exit(0)
