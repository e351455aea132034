"""``lakegate`` as the process that a user or an operator runs: beside a test, or to its end."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

COMMAND = (sys.executable, "-m", "gateway")
SECONDS = 60.0
"""A command that runs to its end takes less, also on a busy machine."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Return the tests' own environment, without what would change a command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKEGATE")}
    return kept | {"PYTHONWARNINGS": "error::ResourceWarning", "COLUMNS": "200"} | more


@asynccontextmanager
async def lakegate_beside(
    *arguments: object, out: int = asyncio.subprocess.PIPE, err: int = asyncio.subprocess.PIPE, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command beside a test; at the end it is killed, where it is still there."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, arguments), stdout=out, stderr=err, env=environment(**more)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ending(process: asyncio.subprocess.Process) -> Ended:
    """Return how a command has ended, once it has."""
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    return Ended(await process.wait(), (out or b"").decode(), (err or b"").decode())


async def lakegate_ended(*arguments: object, **more: str) -> Ended:
    """Run a command to its end."""
    async with lakegate_beside(*arguments, **more) as process:
        return await ending(process)
