"""One rclone for all harvest tests; a bucket, an origin and a scene for each."""

import asyncio
import logging
import multiprocessing
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest
from harvest_origin import Origin
from harvest_scene import Scene
from s3_bucket import make_buckets, rclone


@pytest.fixture(autouse=True)
def _no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where a background task met an error that it did not foresee, even if it recovered."""
    yield
    ours = [record for record in caplog.records if record.name.startswith("harvest")]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rclone(tmp_path_factory.mktemp("s3") / "data") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def processes() -> BaseContext:
    """Make processes that can be killed: each is forked from one that has imported what they all need."""
    context = multiprocessing.get_context("forkserver")
    killed = [f"test_harvest_{name}" for name in ("killed", "points", "removed")]
    context.set_forkserver_preload(["harvest_scene", "harvest.harvester", *killed])
    return context


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another S3 service."""
    with rclone(tmp_path_factory.mktemp("other-s3") / "data") as endpoint:
        yield endpoint


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> str:
    """The server of the orders' database, where the tests are run on one (``LAKEGATE_HARVEST_ON=postgresql``)."""
    if os.environ.get("LAKEGATE_HARVEST_ON") != "postgresql":
        return ""
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
async def scene(s3: str, tmp_path: Path, dsn: str) -> Scene:
    bucket = f"b{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(make_buckets, s3, bucket)
    return Scene(folder=tmp_path, endpoint=s3, bucket=bucket, dsn=dsn, schema=f"harvest_{bucket}")


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin().serving() as serving:
        yield serving


@pytest.fixture
def scenes(s3: str, tmp_path: Path, dsn: str) -> Callable[[], AbstractAsyncContextManager[Scene]]:
    """Make scenes, each of its own."""

    @asynccontextmanager
    async def made() -> AsyncIterator[Scene]:
        bucket = f"b{uuid.uuid4().hex[:12]}"
        await asyncio.to_thread(make_buckets, s3, bucket)
        folder = tmp_path / bucket
        folder.mkdir()
        yield Scene(folder=folder, endpoint=s3, bucket=bucket, dsn=dsn, schema=f"harvest_{bucket}")

    return made


@pytest.fixture
def origins() -> Callable[[], AbstractAsyncContextManager[Origin]]:
    """Make origins, each of its own."""
    return lambda: Origin().serving()
