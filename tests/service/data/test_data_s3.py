"""Data in a real S3 store (Ceph's RADOS Gateway): streamed, by signed addresses, and read beside the gateway."""

import asyncio
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from botocore.exceptions import ClientError
from ceph_server import Ceph, ceph
from data_scene import ALICE, BOB, GROUP, Lake, lake_of, scene, secret
from lakegate_process import Ended, lakegate_ended
from s3_bucket import ACCESS, SECRET, s3_client

from edges.downloads.s3_way import S3Way
from edges.settings import DirectSettings, DownloadSettings, StorageSettings
from gateway.data.hrefs import data_path
from quotas.model import Policy

pytestmark = pytest.mark.service

BODY = random.Random(3).randbytes(1_000_003)
ITEM, OTHER = "S2A_T32UNU_20240305", "S2B_T32UNU_20240306"
ROLE = "arn:aws:iam:::role/readers"
SCENES = {ITEM: ("B01.tif", "B 02+ü.tif"), OTHER: ("B01.tif",)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with ceph(tmp_path_factory.mktemp("ceph")) as running:
        trust = [
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/harvester"]}, "Action": "sts:AssumeRole"}
        ]
        may = [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}]
        running.admin("role", "create", "--role-name=readers", f"--assume-role-policy-doc={policy(trust)}")
        running.admin("role-policy", "put", "--role-name=readers", "--policy-name=read", f"--policy-doc={policy(may)}")
        running.admin("caps", "add", "--uid=harvester", "--caps=roles=*")
        with s3_client(running.endpoint) as client:
            fill(client)
        yield running


def policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def fill(client: Any) -> None:
    for bucket in ("lake", "archive", "private"):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="flat/B01.tif", Body=b"of " + bucket.encode())
        client.put_object(Bucket=bucket, Key="flat/secret.tif", Body=b"nobody asked")
    for item, names in SCENES.items():
        for name in names:
            client.put_object(Bucket="lake", Key=f"scenes/{item}/{name}", Body=BODY, ContentType="image/tiff")


@asynccontextmanager
async def lake_over(
    store: Ceph, folder: Path, *, downloads: DownloadSettings | None = None, policies: tuple[Policy, ...] = ()
) -> AsyncIterator[Lake]:
    items = [
        scene(
            item,
            {name: {"href": f"s3://lake/scenes/{item}/{name}", "type": "image/tiff"} for name in names}
            | {
                "by http": f"{store.endpoint}/lake/scenes/{item}/B01.tif",
                "archive": "s3://archive/flat/B01.tif",
                "private": "s3://private/flat/B01.tif",
                "above": "s3://lake/../private/flat/B01.tif",
                "missing": "s3://lake/scenes/none.tif",
                "public": "https://data.example/B01.tif",
            },
        )
        for item, names in SCENES.items()
    ]
    storage = StorageSettings(
        endpoint=store.endpoint,
        bucket="lake",
        access_key=secret("S3_ACCESS", ACCESS),
        secret_key=secret("S3_SECRET", SECRET),
    )
    settings = downloads or DownloadSettings(buckets=("archive",))
    async with lake_of(
        folder, {"edge": items}, downloads={"edge": settings}, policies=policies, more={"edge": {"storage": storage}}
    ) as lake:
        yield lake


def path_of(asset: str, item: str = ITEM) -> str:
    return data_path(site="edge", collection="scenes", item=item, asset=asset)


@pytest.mark.parametrize("asset", ["B01.tif", "B 02+ü.tif", "by http"])
async def test_objects_are_streamed_with_the_sites_keys(store: Ceph, tmp_path: Path, asset: str) -> None:
    async with lake_over(store, tmp_path) as lake:
        status, body, headers = await lake.body(path_of(asset))
        assert (status, body, headers["Content-Type"]) == (200, BODY, "image/tiff")
        etag = headers["ETag"]
        asked = {"Range": "bytes=1000-1999", "If-Range": etag}
        status, body, headers = await lake.body(path_of(asset), headers=asked)
        assert (status, body, headers["Content-Range"]) == (206, BODY[1000:2000], f"bytes 1000-1999/{len(BODY)}")
        status, body, _ = await lake.body(path_of(asset), headers=asked | {"If-Range": '"older"'})
        assert (status, body) == (200, BODY)
        assert (await lake.body(path_of(asset), headers={"If-None-Match": etag}))[0] == 304
        assert (await lake.body(path_of(asset), headers={"Range": "bytes=9999999-"}))[0] == 416
        _, _, headers = await lake.body(path_of(asset), method="HEAD")
        assert (headers["Content-Length"], headers["ETag"]) == (str(len(BODY)), etag)


async def test_only_the_buckets_of_the_site_are_opened_whatever_an_item_says(store: Ceph, tmp_path: Path) -> None:
    async with lake_over(store, tmp_path) as lake:
        assert (await lake.body(path_of("archive")))[:2] == (200, b"of archive")
        for asset in ("private", "above", "missing"):
            status, body, _ = await lake.body(path_of(asset))
            assert (status, b"of private" in body) == (404, False)


async def test_a_redirect_leads_to_a_signed_address_that_needs_nothing_else(
    store: Ceph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    downloads = DownloadSettings(give="redirect", signed_seconds=120)
    async with lake_over(store, tmp_path, downloads=downloads) as lake:
        for asset in ("B01.tif", "B 02+ü.tif", "by http"):
            for method in ("GET", "HEAD"):
                status, body, headers = await lake.body(path_of(asset), method=method)
                assert (status, body) == (307, b"")
                assert headers["Cache-Control"] == "no-store"
                assert headers["Referrer-Policy"] == "no-referrer"
                location = headers["Location"]
                assert "X-Amz-Expires=120&" in location
                url = aiohttp.client.URL(location, encoded=True)
                async with lake.session.request(method, url, headers={"Range": "bytes=0-9"}) as answer:
                    assert answer.status == 206
                    assert answer.headers["Content-Disposition"].startswith('attachment; filename="B')
                    assert await answer.read() == (BODY[:10] if method == "GET" else b"")
                wrong = aiohttp.client.URL(location.replace("B", "C", 1), encoded=True)
                async with lake.session.request(method, wrong) as answer:
                    assert answer.status == 403
        assert (await lake.body(path_of("public")))[2]["Location"] == "https://data.example/B01.tif"
        assert (await lake.body(path_of("private")))[0] == 404
    signature = location.partition("X-Amz-Signature=")[2]
    ours = [record for record in caplog.records if record.name.split(".")[0] in ("gateway", "edges", "quotas")]
    assert not [record for record in ours if signature in str(record.__dict__)]


async def ask(lake: Lake, body: Any, **options: Any) -> tuple[int, Any]:
    status, answer, headers = await lake.body("/access", method="POST", json=body, **options)
    assert status >= 400 or headers["Cache-Control"] == "no-store"
    return status, msgspec.json.decode(answer)


DIRECT = DownloadSettings(give="refuse", direct=DirectSettings(groups=(GROUP,), url_seconds=900))


async def test_signed_urls_are_given_for_each_asset_of_an_item(store: Ceph, tmp_path: Path) -> None:
    async with lake_over(store, tmp_path, downloads=DIRECT) as lake:
        status, told = await ask(lake, {"items": [{"collection": "scenes", "item": ITEM}], "seconds": 60})
        assert status == 200, told
        urls = {each["asset"]: each["href"] for each in told["urls"]}
        assert set(urls) == {"B01.tif", "B 02+ü.tif", "by http", "missing"}
        assert {each["asset"] for each in told["refused"]} == {"archive", "private", "above", "public"}
        url = aiohttp.client.URL(urls["B 02+ü.tif"], encoded=True)
        assert "X-Amz-Expires=60&" in str(url)
        async with lake.session.get(url) as answer:
            assert await answer.read() == BODY


async def test_a_collection_is_given_up_to_the_bound(store: Ceph, tmp_path: Path) -> None:
    async with lake_over(store, tmp_path, downloads=DIRECT) as lake:
        asked = {"items": [{"collection": "scenes", "assets": ["B01.tif"]}]}
        status, told = await ask(lake, asked)
        assert status == 200, told
        assert [(each["item"], each["asset"]) for each in told["urls"]] == [(ITEM, "B01.tif"), (OTHER, "B01.tif")]
        assert told["truncated"] is False


async def test_who_is_in_none_of_the_groups_gets_nothing(store: Ceph, tmp_path: Path) -> None:
    async with lake_over(store, tmp_path, downloads=DIRECT) as lake:
        asked = {"items": [{"site": "edge", "collection": "scenes", "item": ITEM}]}
        status, told = await ask(lake, asked, token=BOB)
        assert (status, "groups" in told["refused"][0]["reason"]) == (403, True)
        assert (await lake.body("/access", method="POST", json=asked, token=None))[0] == 401
        status, told = await ask(lake, asked | {"give": "keys"})
        assert (status, "gives no keys" in told["refused"][-1]["reason"]) == (403, True)


async def test_what_is_granted_beside_the_gateway_counts_whole_and_once_while_it_lives(
    store: Ceph, tmp_path: Path
) -> None:
    some = Policy(name="egress", group=GROUP, resource="egress_bytes", kind="window", amount=3.5e6, window_seconds=3600)
    direct = msgspec.structs.replace(DIRECT, give="redirect")
    async with lake_over(store, tmp_path, downloads=direct, policies=(some,)) as lake:
        assert (await lake.body(path_of("B01.tif"), method="HEAD"))[0] == 307
        assert await lake.used() == 0
        parts = [lake.body(path_of("B01.tif"), headers={"Range": f"bytes={n}-{n + 9}"}) for n in range(20)]
        assert {status for status, _, _ in await asyncio.gather(*parts)} == {307}
        assert await lake.used() == len(BODY)
        asked = {"items": [{"collection": "scenes", "item": ITEM, "assets": ["B01.tif", "B 02+ü.tif", "missing"]}]}
        for _ in range(2):
            status, told = await ask(lake, asked)
            assert (status, len(told["urls"])) == (200, 3)
        assert await lake.used() == 2 * len(BODY)
        status, told = await ask(lake, asked | {"give": "keys"})
        assert (status, "gives no keys" in told["refused"][0]["reason"]) == (403, True)
        others = {"items": [{"collection": "scenes", "item": OTHER, "assets": ["B01.tif", "by http"]}]}
        assert (await ask(lake, others))[0] == 429
        assert await lake.used() == 2 * len(BODY), "what was refused does not count"
    free = msgspec.structs.replace(direct, count_granted=False)
    (tmp_path / "free").mkdir()
    async with lake_over(store, tmp_path / "free", downloads=free, policies=(some,)) as lake:
        assert (await lake.body(path_of("B01.tif")))[0] == 307
        assert (await ask(lake, asked))[0] == 200
        assert await lake.used() == 0


async def test_who_has_used_up_the_quota_gets_no_way_around_it(store: Ceph, tmp_path: Path) -> None:
    none = Policy(name="egress", group=GROUP, resource="egress_bytes", kind="window", amount=0, window_seconds=60)
    direct = msgspec.structs.replace(DIRECT, give="redirect")
    async with lake_over(store, tmp_path, downloads=direct, policies=(none,)) as lake:
        status, told = await ask(lake, {"items": [{"collection": "scenes", "item": ITEM}]})
        assert (status, told["violated-policies"][0]["policy"]) == (422, "egress")
        assert (await lake.body(path_of("B01.tif")))[0] == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"item": "x"}]},
        {"items": [{"collection": "c", "item": "x"}], "give": "root"},
        {"items": [{"collection": "c", "item": "x"}], "seconds": 0},
        {"items": [{"collection": "c", "item": "x", "role": "admin"}]},
        {"items": [{"collection": "c", "item": "x"}] * 1001},
    ],
)
async def test_a_bad_request_is_told_what_would_be_right(store: Ceph, tmp_path: Path, body: Any) -> None:
    async with lake_over(store, tmp_path, downloads=DIRECT) as lake:
        status, told = await ask(lake, body)
        assert (status, "expected" in told) == (400, True)


async def test_keys_read_what_was_asked_for_and_nothing_else(store: Ceph, tmp_path: Path) -> None:
    direct = DirectSettings(sts=store.endpoint, role=ROLE, key_seconds=900)
    async with lake_over(store, tmp_path, downloads=DownloadSettings(direct=direct)) as lake:
        asked = {"give": "keys", "items": [{"collection": "scenes", "item": ITEM, "assets": ["B01.tif"]}]}
        status, told = await ask(lake, asked)
        assert status == 200, told
        (keys,) = told["keys"]
        assert keys["objects"] == [f"s3://lake/scenes/{ITEM}/B01.tif"]
        await asyncio.to_thread(_try_keys, keys)


async def test_the_command_prints_addresses_and_what_a_shell_takes(store: Ceph, tmp_path: Path) -> None:
    direct = DirectSettings(sts=store.endpoint, role=ROLE)
    async with lake_over(store, tmp_path, downloads=DownloadSettings(direct=direct)) as lake:
        code, out, err = await command(lake, "scenes", ITEM, "--asset", "B01.tif", "--asset", "public")
        assert (code, err) == (
            5,
            f"Refused: scenes/{ITEM}/public: the asset is not in the site's own store; download it\n",
        )
        async with lake.session.get(aiohttp.client.URL(out.strip(), encoded=True)) as answer:
            assert await answer.read() == BODY
        code, out, err = await command(lake, "scenes", OTHER, "--asset", "B01.tif", "--keys", "--site", "edge")
        assert (code, err) == (0, "")
        shell = await asyncio.create_subprocess_exec(
            "sh", "-c", f"{out}\necho $AWS_S3_ENDPOINT $AWS_HTTPS", stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await shell.communicate()
        assert printed.decode().split() == [store.endpoint.removeprefix("http://"), "NO"]


async def command(lake: Lake, *arguments: str) -> Ended:
    return await lakegate_ended("access", *arguments, LAKEGATE_URL=lake.url, LAKEGATE_TOKEN=ALICE)


def _try_keys(keys: Any) -> None:
    given = keys["environment"]
    session = {
        "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": given["AWS_SESSION_TOKEN"],
    }
    with s3_client(keys["endpoint"], **session) as client:
        part = client.get_object(Bucket="lake", Key=f"scenes/{ITEM}/B01.tif", Range="bytes=5-9")["Body"].read()
        assert part == BODY[5:10]
        for bucket, key in (("lake", f"scenes/{OTHER}/B01.tif"), ("private", "flat/B01.tif"), ("lake", "flat/B01.tif")):
            with pytest.raises(ClientError, match=r"403|AccessDenied"):
                client.get_object(Bucket=bucket, Key=key)
        with pytest.raises(ClientError, match=r"403|AccessDenied"):
            client.put_object(Bucket="lake", Key=f"scenes/{ITEM}/B01.tif", Body=b"mine")


async def test_gdal_reads_by_range_with_the_environment_that_is_told(store: Ceph, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "cog.tif"
    kind = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **kind) as made:
        made.write(numpy.full((1, 64, 64), 7, dtype="uint8"))
    direct = DirectSettings(sts=store.endpoint, role=ROLE)
    with s3_client(store.endpoint) as client:
        client.put_object(Bucket="lake", Key=f"scenes/{ITEM}/B01.tif", Body=path.read_bytes())
        try:
            async with lake_over(store, tmp_path, downloads=DownloadSettings(direct=direct)) as lake:
                status, told = await ask(lake, {"give": "keys", "items": [{"collection": "scenes", "item": ITEM}]})
            assert status == 200, told
            mean = await asyncio.to_thread(_mean, told["keys"][0]["environment"], f"/vsis3/lake/scenes/{ITEM}/B01.tif")
            assert mean == 7
        finally:
            client.put_object(Bucket="lake", Key=f"scenes/{ITEM}/B01.tif", Body=BODY, ContentType="image/tiff")


_READ = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as opened:
    print(float(opened.read(1).mean()))
"""


def _mean(environment: dict[str, str], path: str) -> float:
    """Read in a process of its own: GDAL takes its settings from the environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", _READ, path], env=plain | environment, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return float(done.stdout)


def test_signing_again_gives_the_same_address_within_a_second(store: Ceph) -> None:
    settings = StorageSettings(
        endpoint=store.endpoint, bucket="lake", access_key=secret("A", ACCESS), secret_key=secret("B", SECRET)
    )
    way = S3Way(settings, public_endpoint="https://s3.example/root")
    assert str(way.signed("GET", "s3://lake/a b", seconds=5)).startswith("https://s3.example/root/lake/a%20b?X-Amz-")
    assert way.signed("GET", "s3://other/a", seconds=5) is None
