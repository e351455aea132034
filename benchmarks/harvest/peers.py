"""The others that can copy to S3, each in an environment of its own; who is absent is told, with the reason."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.federation.peers import PeerMissing, environment_of
from benchmarks.harvest.peer_scripts import AIOBOTOCORE, BOTO3, OBSTORE
from benchmarks.harvest.servers import ACCESS, BUCKET, SECRET
from benchmarks.harvest.work import Cost, Job, measured

Peer = Callable[[Job, Path], Cost]

MOST_PIPES = 100
"""A process per object says nothing of a program beyond this."""

_KEYS = {
    "AWS_ACCESS_KEY_ID": ACCESS,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
}


def lakegate(job: Job, folder: Path) -> Cost:
    """Copy by our own harvester."""
    told = msgspec.json.encode(job).decode()
    return measured([sys.executable, "-m", "benchmarks.harvest.ours", told], log=folder / "lakegate.log")


def rclone(job: Job, folder: Path) -> Cost:
    """Copy by ``rclone copy``."""
    target = f":s3,provider=Other,env_auth=true,endpoint='{job.endpoint}',use_unsigned_payload=true"
    source = f":http,url='{job.source}/':" if job.kind == "http" else _remote(job.source) + BUCKET
    names = folder / "names.txt"
    names.write_text("".join(f"{job.prefix}o{number}\n" for number in range(job.count)))
    cutoff = "1G" if job.kind == "http" else "200M"
    command = [
        str(Path(sys.executable).with_name("rclone")), "copy", source, f"{target}:{BUCKET}", "--config", "/dev/null",
        "--files-from-raw", str(names), "--transfers", str(job.at_once), "--checkers", "8", "--no-traverse",
        "--s3-no-head", "--s3-no-check-bucket", "--s3-upload-cutoff", cutoff, "--ignore-times", "--ignore-checksum",
        "--s3-disable-checksum", "--retries", "1", "--http-no-head",
    ]  # fmt: skip
    return measured(command, log=folder / "rclone.log", environment=_KEYS)


def _remote(endpoint: str) -> str:
    return f":s3,provider=Other,env_auth=true,endpoint='{endpoint}':"


def _script(environment: str, packages: tuple[str, ...], text: str) -> Peer:
    def run(job: Job, folder: Path) -> Cost:
        python = environment_of(environment, packages) / "python"
        told = msgspec.to_builtins(job) | {"single": job.kind == "http"}
        arguments = [msgspec.json.encode(told).decode(), ACCESS, SECRET, BUCKET]
        return measured([str(python), "-c", text, *arguments], log=folder / f"{environment}.log")

    return run


def _piped(program: str, shape: str) -> Peer:
    """Copy by ``curl | program``, ``at_once`` side by side: the program has no HTTP side of its own."""

    def run(job: Job, folder: Path) -> Cost:
        if job.kind != "http" or job.count > MOST_PIPES:
            raise PeerMissing(f"{program} copies between two services, or many small files, only by way of a disk")
        name = {"aws": "awscli"}.get(program, program)
        binary = shlex.quote(str(environment_of(name, (name,)) / program))
        copy = f"curl -sf {job.source}/$0 | " + shape.format(binary=binary, endpoint=job.endpoint, bucket=BUCKET)
        names = "\\n".join(f"{job.prefix}o{number}" for number in range(job.count))
        line = f"printf '{names}\\n' | xargs -P {job.at_once} -n 1 sh -c {shlex.quote(copy)}"
        return measured(["sh", "-c", line], log=folder / f"{name}.log", environment=_KEYS)

    return run


PEERS: dict[str, Peer] = {
    "rclone": rclone,
    "obstore": _script("transfer", ("obstore", "boto3"), OBSTORE),
    "boto3": _script("transfer", ("obstore", "boto3"), BOTO3),
    "aiobotocore": _script("aiobotocore", ("aiobotocore",), AIOBOTOCORE),
    "s5cmd": _piped("s5cmd", "{binary} --endpoint-url {endpoint} pipe s3://{bucket}/$0"),
    "awscli": _piped("aws", "{binary} --endpoint-url {endpoint} s3 cp - s3://{bucket}/$0"),
}
