"""What downloads say and understand: ranges, conditions, names, signed addresses, policies of keys."""

import re
from datetime import UTC, datetime
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.downloads.answers import NotReady, Opened, SiteOverloaded, judge
from edges.downloads.eodag_way import is_kin
from edges.downloads.http_way import HttpWay
from edges.downloads.presigning import SigningKey, presigned
from edges.downloads.ranges import ByteRange, RangeNotSatisfiable, range_of, span_of
from edges.downloads.s3_way import S3Object, S3Way, object_of
from edges.downloads.sts import PolicyTooLong, session_policy
from edges.downloads.ways import Call
from edges.errors import EdgeError, NotFound, SiteMisbehaved
from edges.settings import DirectSettings, DownloadSettings, Secret, SiteCredentials, StorageSettings
from gateway.data.direct import Wanted, objects_of
from gateway.data.disposition import attachment, name_of, safe_name
from gateway.data.limits import InFlight, TooManyOfSite, TooManyOfUser

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@examples(100, slow=True)
@given(first=st.integers(0, 300), last=st.integers(0, 300) | st.none(), total=st.integers(0, 200))
def test_a_range_means_the_bytes_that_a_slice_means(first: int, last: int | None, total: int) -> None:
    asked = range_of(f"bytes={first}-{'' if last is None else last}")
    if asked is None:
        assert last is not None
        assert last < first
        return
    assert range_of(asked.header) == asked
    wanted = bytes(total)[first : None if last is None else last + 1]
    if wanted:
        assert span_of(asked, total) == (first, len(wanted))
    else:
        with pytest.raises(RangeNotSatisfiable):
            span_of(asked, total)


@examples(100, slow=True)
@given(suffix=st.integers(0, 300), total=st.integers(0, 200))
def test_a_suffix_means_the_last_bytes(suffix: int, total: int) -> None:
    asked = ByteRange(suffix=suffix)
    assert range_of(asked.header) == asked
    if suffix == 0 or total == 0:
        with pytest.raises(RangeNotSatisfiable):
            span_of(asked, total)
    else:
        assert span_of(asked, total) == (max(0, total - suffix), min(suffix, total))


@examples(100, slow=True)
@given(
    headers=st.dictionaries(
        st.sampled_from(["Content-Length", "Content-Range", "ETag", "Transfer-Encoding", "Last-Modified"]),
        st.text(st.characters(codec="latin-1"), max_size=30)
        | st.sampled_from(["5", "bytes 0-4/9", "bytes */9", '"e"', "chunked", "bytes 3-1/2"]),
    ),
    status=st.sampled_from([200, 206, 304, 416, 404, 403, 503, 202, 302, 599]),
    asked=st.none() | st.builds(ByteRange, first=st.integers(0, 9), last=st.none() | st.integers(9, 12)),
)
def test_whatever_a_site_answers_is_either_refused_or_makes_sense(
    headers: dict[str, str], status: int, asked: ByteRange | None
) -> None:
    try:
        opened = judge("hub", status, headers, asked)
    except EdgeError:
        return
    assert opened.length is None or opened.length >= 0
    assert not opened.partial or (asked is not None and opened.length)
    if opened.total is not None and opened.length is not None:
        assert opened.first + opened.length <= opened.total
    assert all(each.isprintable() for each in (opened.etag, opened.last_modified, opened.content_type))


def test_a_site_that_asks_for_time_is_given_it() -> None:
    with pytest.raises(NotReady) as preparing:
        judge("hub", 202, {}, None)
    assert preparing.value.retry_after == 60
    with pytest.raises(SiteOverloaded) as busy:
        judge("hub", 503, {"Retry-After": "99999"}, None)
    assert busy.value.retry_after == 3600


def test_a_part_is_known_as_one_where_its_server_says_200() -> None:
    asked = ByteRange(first=5, last=9)
    told = {"Content-Length": "5", "Content-Range": "bytes 5-9/100"}
    assert judge("s3", 200, told, asked) == Opened(total=100, first=5, length=5, partial=True)
    whole = {"Content-Length": "100", "Content-Range": "bytes 0-99/100"}
    assert judge("s3", 200, whole, asked) == Opened(total=100, first=5, length=5, skip=5, partial=True)
    with pytest.raises(SiteMisbehaved):
        judge("s3", 200, told | {"Content-Range": "bytes 6-10/100"}, asked)


def test_what_s3_keeps_of_an_upload_is_no_encoding_of_what_it_sends() -> None:
    assert judge("s3", 200, {"Content-Length": "5", "Content-Encoding": "aws-chunked"}, None).encoding == ""
    assert judge("s3", 200, {"Content-Length": "5", "Content-Encoding": "aws-chunked,gzip"}, None).encoding == "gzip"


@examples(100, slow=True)
@given(name=st.text(max_size=300))
def test_any_name_becomes_one_that_can_be_read_back_and_is_no_path(name: str) -> None:
    value = attachment(name)
    value.encode("ascii")
    assert value.startswith('attachment; filename="')
    assert not re.search(r"[\x00-\x1f\x7f]", value)
    message = Message()
    message["Content-Disposition"] = value
    read = message.get_filename()
    assert read is not None
    assert "/" not in read
    assert "\\" not in read
    assert read not in (".", "..")
    assert len(value) < 2_500


@pytest.mark.parametrize(
    ("told", "href", "asset", "kind", "name"),
    [
        ("told.zip", "https://x/y.tif", "a", "", "told.zip"),
        ("../../etc/passwd", "https://x/y.tif", "a", "", "_.._etc_passwd"),
        ("", "https://x/a/B01.tif?sig=1", "a", "", "B01.tif"),
        ("", "https://x/Products(1)/$value", "downloadLink", "application/zip", "i_downloadLink.zip"),
        ("", "https://x/data", "GRANULE/B02.jp2", "", "B02.jp2"),
        ("", "https://x/", "a", "image/tiff; application=geotiff", "i_a.tif"),
    ],
)
def test_a_download_is_called_what_tells_most(told: str, href: str, asset: str, kind: str, name: str) -> None:
    assert name_of(told=told, href=href, item="i", asset=asset, media_type=kind) == name


def test_a_long_name_keeps_its_ending() -> None:
    assert len(safe_name("x" * 500 + ".tif")) < 200
    assert safe_name("x" * 500 + ".tif").endswith(".tif")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "url", ["https://s3.example/b/k%20y", "http://127.0.0.1:9000/root/b/%C3%BC", "http://[::1]:9/b/k"]
)
@pytest.mark.parametrize("token", ["", "a/session+token=="])
def test_signed_addresses_are_those_that_botocore_makes(
    method: str, url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"response-content-disposition": 'attachment; filename="a b.tif"'}
    key = SigningKey(access_key="AK", secret_key="SK", region="eu-1", session_token=token)
    ours = presigned(method, url, key, seconds=77, now=NOW, more=more)
    request = AWSRequest(method=method, url=url, params=more)
    signer = S3SigV4QueryAuth(Credentials("AK", "SK", token or None), "s3", "eu-1", expires=77)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: NOW.replace(tzinfo=None), raising=False)
    signer.add_auth(request)
    theirs = request.url
    stamp = dict(parse_qsl(urlsplit(theirs).query))["X-Amz-Date"]
    if stamp != "20260301T120005Z":
        pytest.skip("botocore's clock cannot be held here")
    assert sorted(parse_qsl(urlsplit(ours).query)) == sorted(parse_qsl(urlsplit(theirs).query))


def storage() -> StorageSettings:
    return StorageSettings(
        endpoint="https://s3.example/",
        bucket="lake",
        access_key=Secret(env="PATH"),
        secret_key=Secret(env="PATH"),
    )


@pytest.mark.parametrize(
    ("href", "found"),
    [
        ("s3://lake/a/b c.tif", S3Object("lake", "a/b c.tif")),
        ("https://s3.example/lake/a%2Fb%20c.tif", S3Object("lake", "a/b c.tif")),
        ("https://lake.s3.example/k", S3Object("lake", "k")),
        ("https://s3.example.evil/lake/k", None),
        ("https://evils3.example/lake/k", None),
        ("http://s3.example/lake/k", None),
        ("https://s3.example:444/lake/k", None),
        ("https://s3.example/lake/k?X-Amz-Signature=1", None),
        ("https://user@s3.example:bad/lake/k", None),
        ("gs://lake/k", None),
    ],
)
def test_the_sites_own_store_is_told_from_others(href: str, found: S3Object | None) -> None:
    assert object_of(href, "https://s3.example") == found


@pytest.mark.parametrize("href", ["s3://other/k", "s3://lake/", "s3://lake/a/../../other/k", "s3://lake/" + "k" * 1025])
async def test_what_is_no_object_of_the_site_is_never_signed(href: str) -> None:
    way = S3Way(storage())
    assert way.signed("GET", href, seconds=5) is None
    with pytest.raises(NotFound):
        await way.call("GET", href)


@pytest.mark.parametrize(
    ("credentials", "headers"),
    [
        (SiteCredentials(secret=Secret(env="SITE_SECRET")), {"Authorization": "Bearer sesame"}),
        (
            SiteCredentials(secret=Secret(env="SITE_SECRET"), kind="basic", user="ali"),
            {"Authorization": "Basic YWxpOnNlc2FtZQ=="},
        ),
        (SiteCredentials(secret=Secret(env="SITE_SECRET"), kind="header", header="X-Key"), {"X-Key": "sesame"}),
    ],
)
async def test_credentials_are_shown_to_their_origins_only(
    credentials: SiteCredentials, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_SECRET", "sesame")
    way = HttpWay(credentials, origins=["https://data.example/some/path"])
    assert (await way.call("GET", "https://data.example:443/x")).headers == headers
    for other in ("https://data.example:444/x", "http://data.example/x", "https://data.example.evil/x", "https://:x"):
        assert (await way.call("GET", other)).headers == {}
    assert "sesame" not in repr(await way.call("GET", "https://data.example/x"))
    assert "sig" not in repr(Call(url="https://x/?sig=1"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SiteCredentials(secret=Secret(env="X"), kind="basic"),
        lambda: SiteCredentials(secret=Secret(env="X"), kind="header"),
        lambda: SiteCredentials(secret=Secret(env="X"), header="X-Key"),
        lambda: SiteCredentials(secret=Secret(env="X"), kind="header", header="X-Key\r\nHost"),
        lambda: DownloadSettings(signed_seconds=601),
        lambda: DownloadSettings(in_flight=0),
        lambda: DirectSettings(url_seconds=3601),
        lambda: DirectSettings(key_seconds=60),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"must|belongs|may hold"):
        wrong()


def wanted(key: str, item: str = "S2A_MSIL2A_20240305", *, named: bool = False) -> Wanted:
    return Wanted(site="e", collection="c", item=item, asset="a", bucket="lake", key=key, named=named)


@pytest.mark.parametrize(
    ("key", "item", "named", "objects"),
    [
        ("c/S2A_MSIL2A_20240305/B01.tif", "S2A_MSIL2A_20240305", False, {"lake/c/S2A_MSIL2A_20240305/*"}),
        ("c/S2A_MSIL2A_20240305.SAFE/G/B01.jp2", "S2A_MSIL2A_20240305", False, {"lake/c/S2A_MSIL2A_20240305.SAFE/*"}),
        ("c/S2A_MSIL2A_20240305/B01.tif", "S2A_MSIL2A_20240305", True, {"lake/c/S2A_MSIL2A_20240305/B01.tif"}),
        ("c/S2A_MSIL2A_202403057/B01.tif", "S2A_MSIL2A_20240305", False, {"lake/c/S2A_MSIL2A_202403057/B01.tif"}),
        ("all/B01.tif", "all", False, {"lake/all/B01.tif"}),  # a folder that others share, or may
        ("c/cube.zarr", "x", True, {"lake/c/cube.zarr/*"}),
    ],
)
def test_keys_open_no_folder_that_another_item_may_share(key: str, item: str, named: bool, objects: set[str]) -> None:
    assert objects_of([wanted(key, item, named=named)]) == objects


def test_wildcards_in_names_open_nothing_else() -> None:
    policy = msgspec.json.decode(session_policy(["lake/a*b?$.tif", "lake/dir/*"]))
    (statement,) = policy["Statement"]
    assert statement["Action"] == "s3:GetObject"
    assert statement["Resource"] == ["arn:aws:s3:::lake/a${*}b${?}${$}.tif", "arn:aws:s3:::lake/dir/*"]


def test_more_objects_than_a_policy_takes_are_refused_with_what_to_do() -> None:
    with pytest.raises(PolicyTooLong, match="fewer items"):
        session_policy(f"lake/item-{number}/B01.tif" for number in range(100))


def test_places_are_given_back_whatever_happens() -> None:
    places = InFlight(sites={"hub": 2}, per_user=1)
    with places.place(site="hub", user="ann"):
        with pytest.raises(TooManyOfUser), places.place(site="hub", user="ann"):
            raise AssertionError
        with places.place(site="hub", user="bob"), pytest.raises(TooManyOfSite), places.place(site="hub", user="eve"):
            raise AssertionError
        assert places.at("hub") == 1
    with pytest.raises(SiteMisbehaved), places.place(site="hub", user="ann"):
        raise SiteMisbehaved("hub", "boom")
    assert places.at("hub") == 0


def test_what_is_not_told_is_not_made_up() -> None:
    assert judge("hub", 200, {"Transfer-Encoding": "chunked"}, None) == Opened()


@pytest.mark.parametrize(
    ("host", "kin"),
    [
        ("catalogue.dataspace.example.eu", True),
        ("zipper.dataspace.example.eu", True),
        ("a.catalogue.dataspace.example.eu", True),
        ("example.eu", False),
        ("dataspace.example.eu.evil.org", False),
        ("evildataspace.example.eu", False),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("evil.0.0.1", False),
        ("other.org", False),
        ("one.org", True),
    ],
)
def test_a_provider_is_known_by_the_hosts_of_its_configuration(host: str, kin: bool) -> None:
    assert is_kin(host, ["catalogue.dataspace.example.eu", "127.0.0.1", "one.org"]) is kin
