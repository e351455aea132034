from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from free_ports import free_port
from oidc_server import Provider, installed_modules, provider_at

from edges.settings import Secret
from gateway.app import running_gateway
from gateway.settings import AuthSettings, IssuerSettings, ServerSettings, Settings


@dataclass(frozen=True)
class Scene:
    """A gateway that believes a real provider."""

    url: str
    provider: Provider

    async def who(self, token: str, scheme: str = "Bearer") -> tuple[int, Any]:
        headers = {"Authorization": f"{scheme} {token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url + "/auth/me") as response:
            return response.status, await response.json(content_type=None)


def issuer_settings(url: str, **changes: Any) -> IssuerSettings:
    given: dict[str, Any] = {
        "name": "real",
        "issuer": url,
        "audiences": ("urn:lakegate",),
        "group_prefix": "root",
        "group_map": {"robots": "root/machines"},
        "admin_groups": ("root/operators",),
        "client_id": "web",
    }
    return IssuerSettings(**{**given, **changes})


def settings_of(port: int, state: Path, *issuers: IssuerSettings, anonymous: Any = "read") -> Settings:
    return Settings(
        server=ServerSettings(port=port, state=str(state)),
        auth=AuthSettings(issuers=issuers, anonymous=anonymous),
    )


@pytest.fixture(scope="session")
def modules() -> Path:
    return installed_modules()


@asynccontextmanager
async def scene_in(folder: Path, modules: Path) -> AsyncIterator[Scene]:
    """Run a real provider and a real gateway that believes it."""
    port, own = free_port(), free_port()
    (folder / "client-secret").write_text("web secret+/")
    issuer = issuer_settings(f"http://127.0.0.1:{port}", client_secret=Secret(file=str(folder / "client-secret")))
    async with (
        provider_at(port, modules, f"http://127.0.0.1:{own}") as provider,
        running_gateway(settings_of(own, folder / "state", issuer)) as url,
    ):
        yield Scene(url, provider)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def scene(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Return a provider whose keys no test changes."""
    async with scene_in(tmp_path_factory.mktemp("oidc"), modules) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_scene(modules: Path, tmp_path: Path) -> AsyncIterator[Scene]:
    """Return a provider of one test's own."""
    async with scene_in(tmp_path, modules) as scene:
        yield scene
