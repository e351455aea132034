"""The others that can copy to S3, each in an environment of its own; who is absent is told, with the reason."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.federation.peers import environment_of
from benchmarks.harvest.peer_scripts import AIOBOTOCORE, BOTO3, OBSTORE
from benchmarks.harvest.servers import ACCESS, BUCKET, SECRET
from benchmarks.harvest.work import Cost, Job, measured, name_of

Peer = Callable[[Job, Path], Cost]

MOST_PIPES = 20
"""A process per object says nothing of a program beyond this."""

MOST_PROCESSES = 8

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


def shared(job: Job, folder: Path) -> Cost:
    """Copy by our own harvester, with a process beside."""
    told = msgspec.json.encode(job).decode()
    command = [sys.executable, "-m", "benchmarks.harvest.ours", told]
    return measured(command, log=folder / "lakegate.log", environment={"BENCH_PROCESSES": "2"})


def rclone(job: Job, folder: Path) -> Cost:
    """Copy by ``rclone copy``."""
    target = f":s3,provider=Other,env_auth=true,endpoint='{job.endpoint}',use_unsigned_payload=true"
    source = f":http,url='{job.source}/':" if job.kind == "http" else _remote(job.source) + BUCKET
    names = folder / "names.txt"
    names.write_text("".join(f"{job.prefix}{name_of(number)}\n" for number in range(job.count)))
    cutoff = "1G" if job.kind == "http" else "200M"
    command = [
        str(Path(sys.executable).with_name("rclone")), "copy", source, f"{target}:{BUCKET}", "--config", "/dev/null",
        "--files-from-raw", str(names), "--transfers", str(job.at_once), "--checkers", "8", "--no-traverse",
        "--s3-no-head", "--s3-no-check-bucket", "--s3-upload-cutoff", cutoff, "--ignore-times", "--ignore-checksum",
        "--s3-disable-checksum", "--retries", "1", "--http-no-head",
    ]  # fmt: skip
    if job.count == 1:
        command += ["--multi-thread-cutoff", "64M", "--multi-thread-streams", "4"]
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


def _piped(program: str, read: str, write: str) -> Peer:
    """Copy by a pipe: ``curl | program``, or between two services ``program | program``, ``at_once`` side by side.

    These programs know one service at a time, and no HTTP beside it. A process for each object is started: of many
    small ones the first :data:`MOST_PIPES` are enough to tell. What memory they take together is not known.
    """

    def run(job: Job, folder: Path) -> Cost:
        name = {"aws": "awscli"}.get(program, program)
        binary = shlex.quote(str(environment_of(name, (name,)) / program))
        source = f"curl -sf {job.source}/$0" if job.kind == "http" else read
        words = {"binary": binary, "bucket": BUCKET}
        copy = " | ".join([source.format(endpoint=job.source, **words), write.format(endpoint=job.endpoint, **words)])
        count = min(job.count, MOST_PIPES)
        names = "\\n".join(f"{job.prefix}{name_of(number)}" for number in range(count))
        line = f"printf '{names}\\n' | xargs -P {min(job.at_once, MOST_PROCESSES)} -n 1 sh -c {shlex.quote(copy)}"
        cost = measured(["sh", "-c", line], log=folder / f"{name}.log", environment=_KEYS)
        return msgspec.structs.replace(cost, memory=0, count=0 if count == job.count else count)

    return run


PEERS: dict[str, Peer] = {
    "obstore": _script("transfer", ("obstore", "boto3"), OBSTORE),
    "rclone": rclone,
    "boto3": _script("transfer", ("obstore", "boto3"), BOTO3),
    "aiobotocore": _script("aiobotocore", ("aiobotocore",), AIOBOTOCORE),
    "s5cmd": _piped(
        "s5cmd",
        "{binary} --endpoint-url {endpoint} cat s3://{bucket}/$0",
        "{binary} --endpoint-url {endpoint} pipe s3://{bucket}/$0",
    ),
    "awscli": _piped(
        "aws",
        "{binary} --endpoint-url {endpoint} s3 cp s3://{bucket}/$0 -",
        "{binary} --endpoint-url {endpoint} s3 cp - s3://{bucket}/$0",
    ),
}
