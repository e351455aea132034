from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_process import UP, Demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that has made its tour and stays up."""
    running = Demo(tmp_path_factory.mktemp("demo") / "home")
    try:
        running.until(UP)
        yield running
    finally:
        running.close()


@pytest.fixture
def demo_folder(tmp_path: Path) -> Path:
    return tmp_path / "home"
