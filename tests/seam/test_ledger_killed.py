"""A process that is killed at any of its writes loses nothing and does nothing twice."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from ledger_lives import FAST

pytestmark = [pytest.mark.seam, pytest.mark.service]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fast_folder():
    """A folder where a flush costs nothing: whether it holds is tried elsewhere."""
    folder = Path(tempfile.mkdtemp(dir=FAST))
    yield folder
    shutil.rmtree(folder)


EVERY = 1 if float(os.environ.get("LAKEGATE_EXAMPLES", "1")) > 1 else 8
"""Of the many points on PostgreSQL, by default each eighth is tried."""
SECONDS = 900
STRIPES = 2
"""So many processes share the points."""


async def killed_everywhere(store, where, every):
    """Kill at each so manieth point; return how many there were, and what was wrong."""
    stripes = (str(every * STRIPES), *(str(every * number) for number in range(STRIPES)))
    parts = await asyncio.gather(*(_stripe(store, where, stripes[0], first) for first in stripes[1:]))
    return {
        "points": max(part["points"] for part in parts),
        "wrong": {point: fault for part in parts for point, fault in part["wrong"].items()},
        "end": parts[0]["end"],
    }


async def _stripe(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("ledger_killed.py")),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return json.loads(told)


async def test_a_kill_at_each_statement_on_sqlite_loses_and_doubles_nothing(fast_folder):
    told = await killed_everywhere("sqlite", str(fast_folder), 1)
    assert told["wrong"] == {}
    assert told["points"] > 80
    assert [key for key, _ in told["end"]["leases"]] == ["c"]


async def test_a_kill_around_each_statement_on_postgresql_loses_and_doubles_nothing(postgresql):
    told = await killed_everywhere("postgresql", postgresql, EVERY)
    assert told["wrong"] == {}
    assert told["points"] > 80
    assert [key for key, _ in told["end"]["leases"]] == ["c"]
