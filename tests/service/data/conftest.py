"""An origin of files for each test."""

from collections.abc import AsyncIterator

import pytest
from data_scene import Origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin().serving() as serving:
        yield serving
