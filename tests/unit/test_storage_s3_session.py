"""Stores of many edges share what is the same for all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.loaders import JSONFileLoader

from edges.lines.lines import Lines
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store

SETTINGS = StorageSettings(
    endpoint="http://127.0.0.1:9", bucket="b", access_key=Secret(env="STORE_KEY"), secret_key=Secret(env="STORE_KEY")
)


@contextmanager
def no_description_is_read() -> Iterator[None]:
    def refused(loader: JSONFileLoader, path: str) -> None:
        raise AssertionError(f"{path} is read again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", refused)
        yield


async def test_the_description_of_the_service_is_read_once_for_all_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_KEY", "key")
    async with Lines() as lines, S3Store(site="one", settings=SETTINGS, lines=lines):
        with no_description_is_read():
            async with S3Store(site="other", settings=SETTINGS, lines=lines) as store:
                assert store.bucket == "b"
