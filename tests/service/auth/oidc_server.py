"""A real OpenID Connect server (oidc-provider on node), installed once into a cache and started on a free port."""

import asyncio
import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

VERSION = "8.8.1"
PACKAGES = (f"oidc-provider@{VERSION}", "jose@6.2.17")
SCRIPT = Path(__file__).with_name("provider.mjs")
START_SECONDS = 60.0


def installed_modules() -> Path:
    """Return the folder with the server's packages; install them where they are missing. Skips without node."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        _give_up(f"{' and '.join(missing)} not found: a real OpenID Connect server needs them")
    cache = Path(os.environ.get("LAKEGATE_CACHE", Path.home() / ".cache" / "lakegate"))
    folder = cache / f"oidc-provider-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "oidc-for-tests", "private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        _give_up("npm has not installed the OpenID Connect server within 300 s")
    if done.returncode != 0:
        _give_up(f"npm cannot install the OpenID Connect server: {done.stderr[-500:]}")
    (folder / "installed").touch()


def _give_up(reason: str) -> None:
    if "oidc" in os.environ.get("LAKEGATE_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


class Provider:
    """The server, as its clients see it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def post(self, path: str, *, basic: str = "", **form: str) -> dict[str, Any]:
        headers = {"Authorization": "Basic " + base64.b64encode(basic.encode()).decode()} if basic else {}
        async with self.session.post(self.url + path, data=form, headers=headers) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return dict(answer)

    async def password(self, user: str, **form: str) -> str:
        answer = await self.post(
            "/token", grant_type="password", client_id="cli", username=user, password=f"{user}-password", **form
        )
        return str(answer["access_token"])

    async def client_credentials(self) -> str:
        answer = await self.post("/token", basic="robot:robot-secret", grant_type="client_credentials")
        return str(answer["access_token"])

    async def rotate(self, *, drop: bool = False) -> None:
        async with self.session.get(self.url + "/test/rotate" + ("?drop=1" if drop else "")) as response:
            assert response.status == 200

    async def fetches(self) -> int:
        """Return how often the keys were asked for."""
        async with self.session.get(self.url + "/test/fetches") as response:
            return int(await response.text())


@asynccontextmanager
async def provider_at(port: int, modules: Path, gateway_url: str) -> AsyncIterator[Provider]:
    """Run the server; ``gateway_url`` is where it sends browsers back."""
    options = {
        "port": port,
        "modules": str(modules),
        "redirects": [f"{gateway_url}/auth/callback/real"],
        "farewells": [f"{gateway_url}/"],
    }
    process = await asyncio.create_subprocess_exec(
        "node",
        SCRIPT,
        json.dumps(options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while b"listening" not in (line := await process.stdout.readline()):
                assert line, "the OpenID Connect server has ended at its start"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield Provider(f"http://127.0.0.1:{port}", session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
