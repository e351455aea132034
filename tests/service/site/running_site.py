from contextlib import asynccontextmanager

import aiohttp

from edges.catalogues.sqlite import SqliteCatalogue
from edges.site.app import SiteServerSettings, serving

TOKEN = "write-token-of-this-test"


class Site:
    """A running site, as a client sees it."""

    def __init__(self, url, session, catalogue):
        self.url = url
        self.session = session
        self.catalogue = catalogue

    async def get(self, path, **params):
        async with self.session.get(self.url + path, params=params) as response:
            return response.status, await response.json(content_type=None)

    async def send(self, method, path, body, token=TOKEN):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            text = await response.text()
            return response.status, await response.json(content_type=None) if text else None


@asynccontextmanager
async def running_site(folder, **settings):
    async with (
        SqliteCatalogue(folder / "catalogue.db", readers=2) as catalogue,
        serving(catalogue, SiteServerSettings(**settings)) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Site(url, session, catalogue)
