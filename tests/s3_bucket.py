"""A folder served as S3 by rclone, for tests of other rooms than the harvest's own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config

ACCESS, SECRET = "harvester", "not-a-real-secret"
READY_SECONDS = 20.0


@contextmanager
def served_bucket(folder: Path, name: str) -> Iterator[str]:
    """Serve a folder with one bucket; yield the endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{ACCESS},{SECRET}", "--config", "/dev/null", "--vfs-cache-mode", "off",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        _make_bucket(f"http://127.0.0.1:{port}", name)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def _wait(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("rclone did not start")


def _make_bucket(endpoint: str, name: str) -> None:
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=name)
    client.close()
