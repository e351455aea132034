"""Downloads through a whole gateway, over real sockets: what HTTP promises about bytes holds from end to end."""

import hashlib
import random
from pathlib import Path

import pytest
from aiohttp import web
from data_scene import BOB, DATE, Lake, Origin, lake_of, scene, secret

from edges.settings import DownloadSettings, SiteCredentials
from gateway.data.hrefs import data_path

pytestmark = pytest.mark.service

BODY = random.Random(7).randbytes(3_000_017)
ETAG = Origin.etag(BODY)


def path_of(asset: str = "B01", item: str = "one", site: str = "hub") -> str:
    return data_path(site=site, collection="scenes", item=item, asset=asset)


@pytest.fixture
async def lake(tmp_path: Path, origin: Origin):
    origin.files |= {"files/B01.tif": BODY, "files/Zürich 山.tif": BODY[:100], "files/empty.txt": b""}
    assets = {
        "B01": {"href": f"{origin.url}/files/B01.tif", "type": "image/tiff; application=geotiff"},
        "GRANULE/B02.jp2": f"{origin.url}/files/Z%C3%BCrich%20%E5%B1%B1.tif",
        "empty": f"{origin.url}/files/empty.txt",
        "gone": f"{origin.url}/files/none.tif",
        "inside": "http://169.254.169.254/latest/meta-data/",
        "bucket": "s3://somebody/else.tif",
        "script": "javascript:alert(1)",
    }
    site = {"hub": {"asset_origins": (origin.url,)}}
    async with lake_of(tmp_path, {"hub": [scene("one", assets), scene("..", assets)]}, more=site) as running:
        yield running


async def test_the_whole_comes_with_all_that_a_client_needs_to_go_on_later(lake: Lake) -> None:
    status, body, headers = await lake.body(path_of(), headers={"Accept-Encoding": "gzip, br"})
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(BODY).digest())
    assert headers["Content-Length"] == str(len(BODY))
    assert headers["ETag"] == ETAG
    assert headers["Last-Modified"] == DATE
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "image/tiff; application=geotiff"
    assert headers["Content-Disposition"] == 'attachment; filename="B01.tif"'
    assert "no-transform" in headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in headers


async def test_head_tells_the_same_without_the_bytes(lake: Lake, origin: Origin) -> None:
    _, _, whole = await lake.body(path_of())
    status, body, headers = await lake.body(path_of(), method="HEAD", headers={"Range": "bytes=0-9"})
    assert (status, body) == (200, b"")
    for name in ("Content-Length", "ETag", "Last-Modified", "Content-Type", "Content-Disposition", "Accept-Ranges"):
        assert headers[name] == whole[name]
    assert [method for method, _, _ in origin.requests] == ["GET", "HEAD"]


async def test_head_works_where_the_site_knows_only_get(lake: Lake, origin: Origin) -> None:
    async def no_head(request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=405) if request.method == "HEAD" else origin.whole_or_part(request, body)

    origin.answers["files/B01.tif"] = no_head
    status, _, headers = await lake.body(path_of(), method="HEAD")
    assert (status, headers["Content-Length"], headers["ETag"]) == (200, str(len(BODY)), ETAG)


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=3000000-", 3_000_000, 3_000_016),
        ("bytes=-17", 3_000_000, 3_000_016),
        ("bytes=2999999-9999999", 2_999_999, 3_000_016),
        ("bytes=-9999999", 0, 3_000_016),
    ],
)
async def test_a_range_is_those_bytes_whether_the_site_knows_ranges_or_not(
    lake: Lake, origin: Origin, asked: str, first: int, last: int, knows_ranges: bool
) -> None:
    origin.ranges = knows_ranges
    status, body, headers = await lake.body(path_of(), headers={"Range": asked})
    assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{last}/{len(BODY)}")
    assert headers["Content-Length"] == str(last - first + 1)
    assert body == BODY[first : last + 1]


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("asked", ["bytes=3000017-", "bytes=99999999-100000000"])
async def test_a_range_past_the_end_is_416_with_the_length(
    lake: Lake, origin: Origin, asked: str, knows_ranges: bool
) -> None:
    origin.ranges = knows_ranges
    status, _, headers = await lake.body(path_of(), headers={"Range": asked})
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-1", "items=0-1", "bytes=a-b", "bytes="])
async def test_what_is_no_single_range_gets_the_whole(lake: Lake, asked: str) -> None:
    status, body, headers = await lake.body(path_of(), headers={"Range": asked})
    assert (status, body) == (200, BODY)
    assert "Content-Range" not in headers


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize(
    ("if_range", "status"),
    [(ETAG, 206), (DATE, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Tue, 05 Mar 2024 09:59:59 GMT", 200)],
)
async def test_a_range_is_given_only_of_the_version_that_the_client_has(
    lake: Lake, origin: Origin, if_range: str, status: int, knows_ranges: bool
) -> None:
    origin.ranges = knows_ranges
    headers = {"Range": "bytes=100-199", "If-Range": if_range}
    got, body, _ = await lake.body(path_of(), headers=headers)
    assert (got, body) == (status, BODY[100:200] if status == 206 else BODY)


async def test_a_range_past_the_end_of_another_version_gets_the_new_one(lake: Lake) -> None:
    headers = {"Range": "bytes=9000000-", "If-Range": '"older and longer"'}
    status, body, _ = await lake.body(path_of(), headers=headers)
    assert (status, body) == (200, BODY)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"If-None-Match": ETAG}, 304),
        ({"If-None-Match": f'"x", W/{ETAG}'}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": DATE}, 200),
        ({"If-Modified-Since": DATE}, 304),
        ({"If-Modified-Since": "Mon, 04 Mar 2024 10:00:00 GMT"}, 200),
        ({"If-Match": ETAG}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": f"W/{ETAG}"}, 412),
        ({"If-Unmodified-Since": "Mon, 04 Mar 2024 10:00:00 GMT"}, 412),
    ],
)
async def test_conditions_hold_as_http_says(lake: Lake, condition: dict[str, str], status: int, method: str) -> None:
    got, body, headers = await lake.body(path_of(), headers=condition, method=method)
    assert got == status
    if status == 304:
        assert (body, headers["ETag"]) == (b"", ETAG)


async def test_names_that_are_no_ascii_are_told_both_ways(lake: Lake) -> None:
    _, body, headers = await lake.body(path_of("GRANULE/B02.jp2"))
    assert body == BODY[:100]
    wanted = "attachment; filename=\"Z_rich _.tif\"; filename*=UTF-8''Z%C3%BCrich%20%E5%B1%B1.tif"
    assert headers["Content-Disposition"] == wanted
    assert headers["Content-Disposition"].split("filename=")[1].split('"')[1] == "Z_rich _.tif"  # as clients do


async def test_an_empty_file_is_one(lake: Lake) -> None:
    status, body, headers = await lake.body(path_of("empty"))
    assert (status, body, headers["Content-Length"]) == (200, b"", "0")
    status, _, headers = await lake.body(path_of("empty"), headers={"Range": "bytes=0-"})
    assert (status, headers["Content-Range"]) == (416, "bytes */0")


async def test_an_item_that_is_called_like_a_step_up_can_be_had(lake: Lake) -> None:
    status, body, _ = await lake.body(path_of(item=".."))
    assert (status, len(body)) == (200, len(BODY))


async def test_the_second_download_of_an_item_asks_no_catalogue(lake: Lake) -> None:
    await lake.body(path_of())
    before = lake.catalogue_requests.total()
    for asset in ("B01", "GRANULE/B02.jp2", "B01"):
        assert (await lake.body(path_of(asset)))[0] == 200
    assert lake.catalogue_requests.total() == before
    assert lake.catalogue_requests["hub"] == 1


async def test_without_a_name_nothing_is_given(lake: Lake, origin: Origin) -> None:
    status, _, headers = await lake.body(path_of(), token=None)
    assert (status, "WWW-Authenticate" in headers) == (401, True)
    assert origin.requests == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (path_of("no such"), 404),
        (path_of("gone"), 404),
        (path_of(item="none"), 404),
        (path_of(site="elsewhere"), 404),
        (path_of("bucket"), 404),
        (path_of("script"), 404),
        (path_of("inside"), 403),
        ("/data/hub/scenes/one", 404),
    ],
)
async def test_what_cannot_be_had_is_said_so(lake: Lake, path: str, status: int) -> None:
    got, body, headers = await lake.body(path)
    assert (got, headers["Content-Type"].partition(";")[0]) == (status, "application/problem+json"), body


async def test_no_credentials_or_cookies_of_the_user_reach_the_site(lake: Lake, origin: Origin) -> None:
    await lake.body(path_of(), headers={"Cookie": "session=secret", "X-Api-Key": "k", "X-Forwarded-For": "1.2.3.4"})
    ((_, _, headers),) = origin.requests
    assert not {"authorization", "cookie", "x-api-key", "x-forwarded-for"} & set(headers)


async def test_a_sites_own_credentials_go_to_its_own_origins_only(tmp_path: Path, origin: Origin) -> None:
    async with Origin().serving() as stranger:
        origin.files["a.bin"] = stranger.files["b.bin"] = b"bytes"

        async def lead_away(request: web.Request, _: bytes) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{stranger.url}/b.bin"})

        origin.answers["away"] = lead_away
        assets = {"own": f"{origin.url}/a.bin", "other": f"{stranger.url}/b.bin", "away": f"{origin.url}/away"}
        credentials = SiteCredentials(secret=secret("SITE", "site-token"), origins=(origin.url,))
        site = {"hub": {"asset_origins": (origin.url, stranger.url)}}
        downloads = {"hub": DownloadSettings(credentials=credentials)}
        async with lake_of(tmp_path, {"hub": [scene("one", assets)]}, downloads=downloads, more=site) as lake:
            for asset in assets:
                assert (await lake.body(path_of(asset)))[:2] == (200, b"bytes")
        assert [each["authorization"] for _, _, each in origin.requests] == ["Bearer site-token"] * 2
        assert not any("authorization" in each for _, _, each in stranger.requests)


async def test_a_site_that_gives_nothing_out_is_asked_nothing(tmp_path: Path, origin: Origin) -> None:
    origin.files["a.bin"] = b"bytes"
    downloads = {"hub": DownloadSettings(give="refuse")}
    async with lake_of(tmp_path, {"hub": [scene("one", {"B01": f"{origin.url}/a.bin"})]}, downloads=downloads) as lake:
        assert (await lake.body(path_of()))[0] == 403
        assert await lake.metric('lakegate_downloads_total{end="refused",site="hub"}') == 1
    assert origin.requests == []


async def test_what_is_sent_is_counted(lake: Lake) -> None:
    await lake.body(path_of(), headers={"Range": "bytes=0-99"})
    await lake.body(path_of(), token=BOB, headers={"Range": "bytes=0-9"})
    assert await lake.metric('lakegate_download_bytes_total{site="hub"}') == 110
    assert await lake.metric('lakegate_downloads_total{end="sent",site="hub"}') == 2
    assert await lake.metric('lakegate_downloads_in_flight{site="hub"}') == 0


async def test_pages_of_other_origins_may_read_parts_of_it(lake: Lake) -> None:
    origin = {"Origin": "https://viewer.example"}
    asked = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    status, _, headers = await lake.body(path_of(), method="OPTIONS", headers=asked)
    assert (status, "Range" in headers["Access-Control-Allow-Headers"].split(", ")) == (204, True)
    status, body, headers = await lake.body(path_of(), headers=origin | {"Range": "bytes=10-19"})
    assert (status, body) == (206, BODY[10:20])
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert {"Content-Range", "Content-Disposition"} < set(headers["Access-Control-Expose-Headers"].split(", "))
