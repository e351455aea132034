import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from federated_lake import Client, Name, gateway_over, hub, provider_sites, read_items, site_of
from hostile_sites import GOOD

from edges.model import Members


@pytest.fixture(scope="session")
def real_items() -> Path:
    """Return the folder of real items, one folder for each provider."""
    root = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).parents[4] / "shared" / "data")) / "stac" / "items"
    if not root.is_dir():
        pytest.skip(f"no real items at {root}; set LAKEGATE_DATA")
    return root


@pytest.fixture(scope="session")
def folders(real_items: Path) -> list[Path]:
    return sorted(path for path in real_items.iterdir() if path.is_dir())


@pytest.fixture(scope="session")
def union(real_items: Path) -> Mapping[Name, Members]:
    """Return all items of all providers, each once."""
    return read_items(real_items)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def good(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return the URL of the site beside a hostile one."""
    async with site_of(GOOD, tmp_path_factory.mktemp("good") / "good.db") as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def providers(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """Return the URLs of one real site for each provider."""
    async with provider_sites(folders, tmp_path_factory.mktemp("providers")) as urls:
        yield urls


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def lake(providers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Return a client of a gateway over all providers."""
    sites = [hub(name, url, max_page=2_000) for name, url in providers.items()]
    async with gateway_over(sites, tmp_path_factory.mktemp("lake")) as client:
        yield client
