"""A gateway of users' collections in a process of its own, to be killed: ``python doomed_gateway.py STATE PORT``."""

import asyncio
import sys
from pathlib import Path

from contributed_lake import gateway_settings

from gateway.app import running_gateway


async def main(state: Path, port: int) -> None:
    async with running_gateway(gateway_settings(state, port=port)) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
