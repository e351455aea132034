"""Sources beside plain HTTP: files of one folder, members of archives, sites that want credentials."""

import io
import os
import re
import zipfile

import msgspec
import pytest
from aiohttp import web
from harvest_scene import HUB, PART, make_item, sha256
from served_app import served

from edges.downloads.eodag_way import EodagWay
from edges.downloads.http_way import HttpWay
from edges.http import Outbound
from edges.lines.lines import Lines
from edges.settings import EodagSettings, Secret, SiteCredentials
from harvest.errors import SourceChanged, SourceFailed
from harvest.files import Folder
from harvest.means import Means
from harvest.model import FoundItem, Source
from harvest.reading import Patience
from harvest.sources import Sources

pytestmark = pytest.mark.service


async def read(source, *, start=0, validator=None, **means):
    """Return all bytes of a source and its validator."""
    async with Lines() as lines:
        given = {"lines": lines, "check": lambda _: None, "places": {}} | means
        sources = Sources(means=Means(**given), patience=Patience(stall=5.0, attempts=3, pause=0.05))
        async with sources.reading(source, start=start, validator=validator) as reading:
            pieces = []
            while piece := await reading.read(1 << 20):
                pieces.append(bytes(piece))
            return b"".join(pieces), reading.validator


# -- files -------------------------------------------------------------------------------------------------


def own(path):
    return Source(site=HUB, href=path if isinstance(path, str) else path.as_uri(), own=True)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "archive"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / "x.tif").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


async def test_a_file_is_read_from_any_byte(folder):
    reachable = {HUB: Folder(folder)}
    body, validator = await read(own(folder / "a b" / "x.tif"), folders=reachable)
    assert body == b"0123456789"
    assert (await read(own(folder / "a b" / "x.tif"), start=4, validator=validator, folders=reachable))[0] == b"456789"


@pytest.mark.parametrize(
    "href",
    [
        "file://{root}/../secret",
        "file://{root}/a%20b/..%2f..%2f..%2fsecret",
        "file://{root}/./a%20b/x.tif",
        "file://{root}//a%20b/x.tif",
        "file:///etc/passwd",
        "file://{root}",
        "file://host{root}/a%20b/x.tif",
        "file://{root}/a%20b/x.tif%00",
        "file://{root}/a%20b",
        "file://{root}/link",
        "file://{root}/way/x.tif",
        "file://{root}/pipe",
        "file://{root}/none",
    ],
)
async def test_nothing_beside_the_folder_is_read_and_no_link_followed(folder, href):
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "way").symlink_to(folder / "a b")
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceFailed) as refused:
        await read(own(href.replace("{root}", str(folder))), folders={HUB: Folder(folder)})
    assert not refused.value.again


async def test_a_file_is_read_only_where_its_own_site_names_it(folder):
    path = (folder / "a b" / "x.tif").as_uri()
    for source in (Source(site=HUB, href=path), Source(site="edge-c", href=path, own=True)):
        with pytest.raises(SourceFailed, match="no folder"):
            await read(source, folders={HUB: Folder(folder)})


async def test_a_file_that_has_changed_is_not_gone_on_with(folder):
    path = folder / "a b" / "x.tif"
    _, validator = await read(own(path), folders={HUB: Folder(folder)})
    path.write_bytes(b"abcdefghij")
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChanged):
        await read(own(path), start=4, validator=validator, folders={HUB: Folder(folder)})


# -- members of archives ------------------------------------------------------------------------------------


class Ranges:
    """A server of one file that counts what it sends; ``knows`` ranges or not."""

    def __init__(self, body):
        self.body = body
        self.asked = []
        self.sent = 0
        self.knows = True
        self.etag = '"one"'
        self.token = ""
        self.elsewhere = ""

    async def give_token(self, request):
        return web.json_response({"access_token": self.token})

    async def answer(self, request):
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if self.elsewhere:
            return web.Response(status=302, headers={"Location": self.elsewhere})
        told = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", "")) if self.knows else None
        self.asked.append(request.headers.get("Range", ""))
        first, last = 0, len(self.body) - 1
        if told:
            first = int(told[1]) if told[1] else max(0, len(self.body) - int(told[2]))
            last = int(told[2]) if told[1] and told[2] else last
        headers = {"ETag": self.etag}
        if told:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(self.body)}"
        response = web.StreamResponse(status=206 if told else 200, headers=headers)
        response.content_length = last - first + 1
        await response.prepare(request)
        for at in range(first, last + 1, 1 << 16):
            piece = self.body[at : min(at + (1 << 16), last + 1)]
            await response.write(piece)
            self.sent += len(piece)
        return response


def packed(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


BIG = os.urandom(300_000) * 4
MEMBERS = {"before.bin": os.urandom(30_000_000), "a/B02.tif": BIG, "after.bin": os.urandom(200_000)}


@pytest.fixture
async def archive():
    server = Ranges(packed(MEMBERS))
    app = web.Application()
    app.router.add_get("/x.zip", server.answer)
    app.router.add_post("/token", server.give_token)
    async with served(app) as url:
        server.url = f"{url}/x.zip"
        yield server


def member(archive, name="a/B02.tif"):
    return Source(site=HUB, href=f"zip://{name}::{archive.url}", own=True)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
async def test_one_member_comes_and_what_lies_before_it_does_not(archive, method):
    archive.body = packed(MEMBERS, method)
    body, validator = await read(member(archive))
    assert body == BIG
    assert archive.sent < 20_000_000
    for start in (1, 700_000, len(BIG)):
        assert (await read(member(archive), start=start, validator=validator))[0] == BIG[start:]


async def test_a_source_without_ranges_is_refused_without_reading_it_all(archive):
    archive.knows = False
    with pytest.raises(SourceFailed, match="knows no ranges"):
        await read(member(archive))
    assert archive.sent < 20_000_000


async def test_a_member_of_an_archive_that_changed_is_begun_anew(archive):
    _, validator = await read(member(archive))
    archive.etag = '"two"'
    with pytest.raises(SourceChanged):
        await read(member(archive), start=5, validator=validator)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
async def test_a_member_with_a_wrong_crc_never_comes_whole(archive, method):
    body = bytearray(packed({"x": os.urandom(50_000)}, method))
    entry = body.rindex(b"PK\x01\x02")
    body[entry + 16] ^= 1
    archive.body = bytes(body)
    with pytest.raises(SourceFailed, match="CRC-32"):
        await read(member(archive, "x"))


async def test_a_member_in_a_folder_is_read(folder):
    (folder / "x.zip").write_bytes(packed(MEMBERS))
    source = own(f"zip://a/B02.tif::{(folder / 'x.zip').as_uri()}")
    assert (await read(source, folders={HUB: Folder(folder)}))[0] == BIG


async def test_an_order_of_members_and_files_brings_their_bytes_once(scene, archive, folder):
    large = os.urandom(2 * PART + 99)
    (folder / "large.bin").write_bytes(large)
    assets = {
        "B02": {"href": f"zip://a/B02.tif::{archive.url}", "file:checksum": sha256(BIG)},
        "all": {"href": (folder / "large.bin").as_uri(), "file:size": len(large)},
    }
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", assets)))
    scene.folders = {HUB: Folder(folder)}
    async with scene.running() as live:
        order = await live.settled((await live.order()).id, 30)
        assert (order.state, order.message) == ("OK", "")
        item = await live.catalogue.plain("s2", "i1")
        assert await live.read(item["assets"]["B02"]["href"]) == BIG
        assert item["assets"]["B02"]["href"].endswith("/B02.tif")
        assert await live.read(item["assets"]["all"]["href"]) == large
        assert (await live.taken())["storage_bytes"] == (len(BIG) + len(large), 0)


# -- addresses ----------------------------------------------------------------------------------------------

NO_ADDRESSES = ["http://hub:99999/x", "http://[::1/x", "http://[zz]/x", "http://hub:1x/", "http://hub\\x/"]


@pytest.mark.parametrize("address", [*NO_ADDRESSES, "//["])
async def test_a_redirect_to_what_is_no_address_is_a_failure_of_that_source(archive, address):
    archive.elsewhere = address
    for source in (Source(site=HUB, href=archive.url), member(archive)):
        with pytest.raises(SourceFailed) as refused:
            await read(source)
        assert not refused.value.again


@pytest.mark.parametrize("address", NO_ADDRESSES)
async def test_what_is_no_address_is_a_source_that_failed(address):
    async with Outbound(allowed=[]) as outbound:
        with pytest.raises(SourceFailed) as refused:
            await read(Source(site=HUB, href=address), check=outbound.check)
    assert not refused.value.again


# -- credentials --------------------------------------------------------------------------------------------


@pytest.fixture
def way(archive, monkeypatch):
    monkeypatch.setenv("TEST_SOURCE_TOKEN", "letmein")
    archive.token = "letmein"
    return HttpWay(SiteCredentials(secret=Secret(env="TEST_SOURCE_TOKEN")), origins=[archive.url])


async def test_a_site_that_wants_credentials_gets_them_for_its_own_addresses_only(archive, way):
    assert (await read(member(archive), ways={HUB: way}))[0] == BIG
    for stranger in (msgspec.structs.replace(member(archive), own=False), member(archive)):
        with pytest.raises(SourceFailed, match="401"):
            await read(stranger, ways={} if stranger.own else {HUB: way})


async def test_credentials_do_not_follow_a_redirect_to_another_origin(archive, way, origin):
    origin.add("x.zip", archive.body)  # it fails its answer where it is shown any
    archive.elsewhere = f"{origin.url}/x.zip"
    assert (await read(Source(site=HUB, href=archive.url, own=True), ways={HUB: way}))[0] == archive.body


@pytest.mark.filterwarnings("ignore:Call to deprecated eodag function:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
async def test_a_member_comes_from_a_provider_that_eodag_signs_in_to(archive, tmp_path, monkeypatch):
    archive.token = "letmein"
    monkeypatch.setenv("TEST_SOURCE_PASSWORD", "x")
    home = archive.url.removesuffix("/x.zip")
    token = {"type": "TokenAuth", "auth_uri": f"{home}/token", "token_type": "json", "token_key": "access_token"}
    search = {"type": "StacSearch", "api_endpoint": f"{home}/search", "need_auth": False}
    settings = EodagSettings(
        provider="local",
        definition={
            "search": search | {"pagination": {"max_limit": 100}},
            "products": {"S2_MSI_L2A": {"_collection": "scenes"}},
            "download": {"type": "HTTPDownload"},
            "auth": token,
        },
        collections=("S2_MSI_L2A",),
        credentials={"username": Secret(env="TEST_SOURCE_PASSWORD"), "password": Secret(env="TEST_SOURCE_PASSWORD")},
    )
    way = EodagWay(site=HUB, settings=settings, folder=tmp_path / "eodag", timeout_seconds=20.0)
    body, validator = await read(member(archive), ways={HUB: way})
    assert body == BIG
    assert (await read(member(archive), start=9, validator=validator, ways={HUB: way}))[0] == BIG[9:]
