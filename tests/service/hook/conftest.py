"""One S3 server for all HOOK tests; a hub, buckets and an outside world for each."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hook_outside import Outside, hub_of
from hook_scene import World
from s3_bucket import make_buckets, rclone


@pytest.fixture(autouse=True)
def _no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where a background task met an error that it did not foresee, even if it recovered."""
    yield
    ours = [record for record in caplog.records if record.name.startswith(("harvest", "gateway"))]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rclone(tmp_path_factory.mktemp("hook-s3") / "data") as endpoint:
        yield endpoint


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with Outside().serving() as serving:
        yield serving


@pytest.fixture
async def world(s3: str, outside: Outside, tmp_path: Path) -> AsyncIterator[World]:
    bucket = f"b{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(make_buckets, s3, bucket, f"{bucket}-own", f"{bucket}-team")
    async with hub_of(outside, tmp_path / "hub.db") as hub:
        yield World(folder=tmp_path, hub=hub, s3=s3, bucket=bucket, outside=outside)
