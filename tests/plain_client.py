"""A gateway, as a plain client sees it."""

from typing import Any, ClassVar

import aiohttp
import msgspec


class PlainClient:
    """Asks one gateway; answers are statuses with what the bodies say."""

    search: ClassVar[str] = "/search"
    """Where bodies go that name no path."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        async with self.session.get(self.url + path, params=parameters) as response:
            return response.status, msgspec.json.decode(await response.read())

    async def post(self, body: Any, path: str = "", **options: Any) -> tuple[int, Any]:
        async with self.session.post(self.url + (path or self.search), json=body, **options) as response:
            return response.status, msgspec.json.decode(await response.read())
