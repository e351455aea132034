"""A folder served as S3 by rclone, and clients of such a server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from free_ports import free_port
from waiting import wait_for_port

ACCESS, SECRET = "harvester", "not-a-real-secret"


@contextmanager
def rclone(folder: Path, *options: str) -> Iterator[str]:
    """Serve a folder, made if missing, whose folders are buckets; yield the endpoint. Its log stands beside it."""
    binary = Path(sys.executable).parent / "rclone"
    if not binary.exists():
        pytest.skip("rclone is not installed")
    port = free_port()
    folder.mkdir(exist_ok=True)
    command = [
        str(binary), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS},{SECRET}",
        "--config", "/dev/null", "--vfs-cache-mode", "off", *options,
    ]  # fmt: skip
    with (folder.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for_port(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


@contextmanager
def s3_client(endpoint: str, **keys: str) -> Iterator[Any]:
    """Give a boto3 client; ``keys`` stand in place of ours."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
        **keys or {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET},
    )
    try:
        yield client
    finally:
        client.close()


def make_buckets(endpoint: str, *names: str) -> None:
    """Make buckets."""
    with s3_client(endpoint) as client:
        for name in names:
            client.create_bucket(Bucket=name)


@contextmanager
def served_bucket(folder: Path, name: str) -> Iterator[str]:
    """Serve a folder with one bucket; yield the endpoint."""
    with rclone(folder) as endpoint:
        make_buckets(endpoint, name)
        yield endpoint
