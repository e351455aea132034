"""Our signatures are those of botocore."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from edges.storage.sigv4 import Signer

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


class At(S3SigV4Auth):
    """botocore's signer with the payload unsigned."""

    def payload(self, request):
        return "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize(
    ("endpoint", "path", "query"),
    [
        ("https://s3.example", "bucket/key", {}),
        ("http://127.0.0.1:9000", "bucket/a b/ü+&=%.tif", {"uploadId": "a/b+c=", "partNumber": "12"}),
        ("https://s3.example:443", "b/~x/-_.", {"list-type": "2", "prefix": "ä ö"}),
        ("http://[::1]:7480", "b/k", {}),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(monkeypatch, endpoint, path, query):
    signer = Signer(endpoint=endpoint, region="eu-1", access_key="AK", secret_key="SK")
    for now in (NOW, NOW + timedelta(seconds=1), NOW + timedelta(days=1)):  # the key is another one each day
        url, headers = signer.signed("PUT", path, query, {"X-Amz-Meta-a": " v  w ", "Content-Length": "3"}, now)
        request = AWSRequest(method="PUT", url=url, headers={"x-amz-meta-a": " v  w "})
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda at=now: at.replace(tzinfo=None))
        At(Credentials("AK", "SK"), "s3", "eu-1").add_auth(request)
        assert headers["Authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("endpoint", ["https://s3.example", "http://127.0.0.1:9000", "https://s3.example/gate way"])
def test_an_address_is_signed_as_botocore_signs_it(monkeypatch, endpoint):
    signer = Signer(endpoint=endpoint.replace(" ", "%20"), region="eu-1", access_key="A/K", secret_key="SK")
    url = signer.presigned("GET", "bucket/a b/ü+&=%.tif", 60, NOW)
    request = AWSRequest(method="GET", url=url.partition("?")[0])
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    S3SigV4QueryAuth(Credentials("A/K", "SK"), "s3", "eu-1", expires=60).add_auth(request)
    assert sorted(urlsplit(url).query.split("&")) == sorted(urlsplit(request.url).query.split("&"))


def test_the_secret_is_in_no_text_of_a_signer():
    assert "SECRET" not in repr(Signer(endpoint="https://x", region="r", access_key="a", secret_key="SECRET"))
