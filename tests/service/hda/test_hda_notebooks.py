"""What the notebooks of the Destination Earth Data Lake do, in the same order, with the clients that they use."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pystac_client
import pytest
import pytest_asyncio
import requests
from hda_lake import OLCI, Client, gateway_over, hub, item, site_of
from hda_scene import Scene, archive, scene_in
from order_provider import CONTENT, ERA5
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
from waiting import wait_until

from gateway.settings import HdaSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

T = TypeVar("T")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene_in(tmp_path_factory.mktemp("notebooks")) as scene:
        yield scene


class Notebook:
    """A session of a notebook: the address, and the header that its sign-in cell has made."""

    def __init__(self, scene: Scene) -> None:
        self.api = scene.url
        self.endpoint = f"{scene.url}/stac/v2"
        self.realm = scene.realm.url
        self.session = requests.Session()
        retry = Retry(total=5, status_forcelist=[500, 502, 503, 504], allowed_methods=["GET", "POST"], backoff_factor=1)
        self.session.mount("http://", HTTPAdapter(max_retries=retry))

    def sign_in(self) -> dict[str, str]:
        """Fill in the login form, take the code from the redirect, get a token for it, and exchange it."""
        desp = f"{self.realm}/realms/desp"
        told = {"client_id": "dedl-hda", "redirect_uri": f"{self.api}/stac", "scope": "openid", "response_type": "code"}
        page = self.session.get(f"{desp}/protocol/openid-connect/auth", params=told).text
        action = page.split('action="')[1].split('"')[0].replace("&amp;", "&")
        form = {"username": "alice", "password": "alice-password"}
        login = self.session.post(action, data=form, allow_redirects=False)
        assert login.status_code == 302
        assert self.session.get(login.headers["Location"]).status_code == 200
        code = login.headers["Location"].split("code=")[1].split("&")[0]
        given = {"grant_type": "authorization_code", "code": code}
        outer = self.session.post(f"{desp}/protocol/openid-connect/token", data=given).json()["access_token"]
        return self._header(
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token=outer,
            subject_issuer="desp-oidc",
            subject_token_type="urn:ietf:params:oauth:token-type:access_token",
            client_id="hda-public",
            audience="hda-public",
        )

    def api_key(self) -> dict[str, str]:
        return self._header(
            grant_type="client_credentials", client_id="robot", client_secret="robot-secret", scope="openid"
        )

    def _header(self, **form: str) -> dict[str, str]:
        answer = self.session.post(f"{self.realm}/auth/realms/dedl/protocol/openid-connect/token", data=form)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def download(self, href: str, headers: dict[str, str]) -> tuple[str, bytes]:
        """Stream a file as the cells do, which find its name and size in the headers."""
        with self.session.get(href, headers=headers, stream=True) as response:
            assert response.status_code == 200, response.text
            name = response.headers["Content-Disposition"].split("filename=")[1].split('"')[1]
            total = int(response.headers["content-length"])
            content = b"".join(response.iter_content(1024))
            assert len(content) == total
        return name, content

    def until_there(self, href: str, headers: dict[str, str], is_there: Callable[[Any], bool]) -> Any:
        def there() -> Any:
            response = self.session.get(href, headers=headers)
            assert response.status_code == 200
            found = response.json()
            return found if is_there(found["properties"]) else None

        return wait_until(there, what=href)


async def in_notebook(scene: Scene, cells: Callable[[Notebook], T]) -> T:
    """Run cells as a notebook does: in a thread of their own, since its clients block."""

    def run() -> T:
        notebook = Notebook(scene)
        with notebook.session:
            return cells(notebook)

    return await asyncio.to_thread(run)


async def test_1_quick_start(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        response = notebook.session.get(f"{notebook.endpoint}/collections", params={"q": '"OLCI","water"'})
        assert [each["id"] for each in response.json()["collections"]] == [OLCI]
        body = {
            "collections": [OLCI],
            "datetime": "2024-09-08T00:00:00Z/2024-09-09T23:59:59Z",
            "bbox": [-11, 35, 50, 72],
            "sortby": [{"field": "datetime", "direction": "desc"}],
            "limit": 3,
        }
        response = notebook.session.post(f"{notebook.endpoint}/search", headers=headers, json=body)
        features = response.json()["features"]
        assert [each["id"] for each in features] == ["S3A_09", "S3A_08"]
        name, content = notebook.download(features[0]["assets"]["downloadLink"]["href"], headers)
        assert name.endswith(".zip")
        assert content == archive("S3A_09")

    await in_notebook(scene, cells)


async def test_2_full_version(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        get, endpoint = notebook.session.get, notebook.endpoint
        services = get(f"{notebook.api}/services").json()["features"]
        assert get(f"{notebook.api}/services", params={"q": "dask"}).status_code == 200
        assert get(f"{notebook.api}/services/{services[0]['id']}").json()["id"] == services[0]["id"]
        assert get(endpoint).json()["conformsTo"] == get(f"{endpoint}/conformance").json()["conformsTo"]
        listed = get(f"{endpoint}/collections").json()["collections"]
        assert OLCI in [each["id"] for each in listed]
        assert get(f"{endpoint}/collections/{OLCI}").json()["extent"]["temporal"]["interval"]
        items = get(
            f"{endpoint}/collections/{OLCI}/items",
            headers=headers,
            params={"datetime": "2024-09-01T00:00:00Z/2024-09-05T00:00:00Z", "bbox": "-11,35,50,72", "limit": "2"},
        ).json()["features"]
        assert [each["id"] for each in items] == ["S3A_04", "S3A_03"]
        one = get(f"{endpoint}/collections/{OLCI}/items/{items[0]['id']}", headers=headers).json()
        assert one["assets"]["downloadLink"] == items[0]["assets"]["downloadLink"]

    await in_notebook(scene, cells)


async def test_3_queryables(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        url = f"{notebook.endpoint}/collections/{ERA5}/queryables"
        found = notebook.session.get(f"{notebook.endpoint}/collections", params={"q": "EO.ECMWF", "limit": 100}).json()
        assert [each["id"] for each in found["collections"]] == [ERA5]
        properties = notebook.session.get(url).json()["properties"]
        years = properties["ecmwf:year"]["items"]["enum"]
        left = notebook.session.get(url, params={"ecmwf:year": years[-1]}).json()["properties"]
        query = {
            "ecmwf:variable": {"eq": properties["ecmwf:variable"]["items"]["enum"][:1]},
            "ecmwf:year": {"eq": years[-1:]},
            "ecmwf:month": {"eq": left["ecmwf:month"]["items"]["enum"]},
        }
        body = {"collections": [ERA5], "query": query}
        (product,) = notebook.session.post(f"{notebook.endpoint}/search", headers=headers, json=body).json()["features"]
        link = next(each for each in product["links"] if each.get("rel") == "retrieve")
        scene.provider.done_after = scene.provider.looks + 3
        order = notebook.session.post(link["href"], json=link["body"], headers=headers)
        assert order.status_code == 200, order.text
        href = f"{notebook.endpoint}/collections/{ERA5}/items/{order.json()['id']}"
        done = notebook.until_there(href, headers, lambda told: told.get("storage:tier", "online") == "online")
        assert notebook.download(done["assets"]["downloadLink"]["href"], headers)[1] == CONTENT

    await in_notebook(scene, cells)


async def test_4_api_key(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.api_key()
        body = {"collections": [OLCI], "datetime": "2024-09-05T00:00:00Z/2024-09-06T23:59:59.999999Z"}
        answer = notebook.session.post(f"{notebook.endpoint}/search", headers=headers, json=body).json()
        assert [each["id"] for each in answer["features"]] == ["S3A_06", "S3A_05"]
        name, _ = notebook.download(answer["features"][0]["assets"]["downloadLink"]["href"], headers)
        assert name

    await in_notebook(scene, cells)


async def test_5_pystac_client(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        client = pystac_client.Client.open(notebook.endpoint, headers=notebook.sign_in())
        assert {each.id for each in client.get_collections()} == {OLCI, ERA5}
        pin = {"federation:backends": {"eq": "west"}}
        search = client.search(collections=[OLCI], max_items=25, limit=10, query=pin)
        items = list(search.items())
        assert [each.id for each in items] == [f"S3A_{day:02}" for day in range(25, 0, -1)]
        assert search.matched() == 25
        kind = items[0].assets["downloadLink"].media_type
        assert kind is not None
        assert kind.split("/") == ["application", "zip"]
        assert items[0].assets["quick-look.png"].href.startswith(notebook.api)

    await in_notebook(scene, cells)


async def test_6_an_order_is_polled_by_its_status(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        params = {"q": '"ERA5"', "query": '{"federation:backends":{"eq":"cds"}}'}
        found = notebook.session.get(f"{notebook.endpoint}/collections", params=params).json()
        assert [each["id"] for each in found["collections"]] == [ERA5]
        query = {
            "ecmwf:data_format": {"eq": "grib"},
            "ecmwf:variable": {"eq": ["sst", "t2m"]},
            "ecmwf:time": {"eq": ["12:00"]},
            "ecmwf:day": {"eq": ["22"]},
            "ecmwf:month": {"eq": ["07"]},
            "ecmwf:year": {"eq": ["2024"]},
            "ecmwf:product_type": {"eq": ["reanalysis"]},
        }
        body = {"collections": [ERA5], "query": query}
        (product,) = notebook.session.post(f"{notebook.endpoint}/search", headers=headers, json=body).json()["features"]
        assert product["properties"]["federation:backends"][0] == "cds"
        link = next(each for each in product["links"] if each.get("rel") == "retrieve")
        scene.provider.done_after = scene.provider.looks + 3
        order = notebook.session.post(link["href"], json=link["body"], headers=headers)
        assert order.status_code == 200
        own = next(each["href"] for each in order.json()["links"] if each["rel"] == "self")
        done = notebook.until_there(own, headers, lambda told: bool(told["order:status"] == "succeeded"))
        assert notebook.download(done["assets"]["downloadLink"]["href"], headers)[1] == CONTENT

    await in_notebook(scene, cells)


async def test_7_four_orders_at_once(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        places: list[Any] = [
            {"type": "Point", "coordinates": [12.5, 41.9]},
            {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]},
        ]

        def one(number: int) -> bytes:
            query = {"ecmwf:year": {"eq": [str(2030 + number)]}, "ecmwf:param": {"eq": ["167"]}}
            body = {"collections": [ERA5], "intersects": places[number % 2], "query": query}
            answer = requests.post(f"{notebook.endpoint}/search", headers=headers, json=body, timeout=60).json()
            link = next(each for each in answer["features"][0]["links"] if each.get("rel") == "retrieve")
            order = requests.post(link["href"], json=link["body"], headers=headers, timeout=60)
            assert order.status_code == 200, order.text
            own = f"{notebook.endpoint}/collections/{ERA5}/items/{order.json()['id']}"
            done = notebook.until_there(own, headers, lambda told: bool(told["order:status"] == "succeeded"))
            return notebook.download(done["assets"]["downloadLink"]["href"], headers)[1]

        scene.provider.done_after = scene.provider.looks + 12
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(one, range(4))) == [CONTENT] * 4

    before = len(scene.provider.placed)
    await in_notebook(scene, cells)
    assert len(scene.provider.placed) - before == 4


async def test_8_members_that_nobody_knows_are_refused_or_passed_over_as_the_operator_says(tmp_path: Path) -> None:
    asked = {"collections": [OLCI], "BBox": [10, 40, 10.35, 50], "Limit": 2, "unheard": True}
    items = [item(f"M{day:02}", OLCI, day=day) for day in range(1, 6)]

    async def found(client: Client) -> tuple[int, Any]:
        return await client.post(asked)

    async with site_of(items, tmp_path / "west.db") as west:
        async with gateway_over([hub("west", west)], tmp_path / "strict") as client:
            status, error = await found(client)
            assert (status, error["code"], bool(error["ticket"])) == (400, "400", True)
        settings = HdaSettings(compatible=True)
        async with gateway_over([hub("west", west)], tmp_path / "lenient", hda=settings) as client:
            status, page = await found(client)
            assert (status, [each["id"] for each in page["features"]]) == (200, ["M03", "M02"])


async def test_8_items_of_forty_assets_come_with_each_of_them(scene: Scene) -> None:
    def cells(notebook: Notebook) -> None:
        headers = notebook.sign_in()
        body = {"collections": [OLCI], "ids": ["S3A_07"]}
        (found,) = notebook.session.post(f"{notebook.endpoint}/search", headers=headers, json=body).json()["features"]
        assert len(found["assets"]) == 43
        href = found["assets"]["Oa01_radiance.nc"]["href"]
        assert notebook.download(href, headers)[1] == archive("S3A_07")

    await in_notebook(scene, cells)
