"""Harvests beside other programs that copy to S3: 20 objects of 50 MB and 5,000 of 100 kB, HTTP to S3 and S3 to S3.

Ours is the harvester whole (journal on disk, quota, catalogue, CRC-64/NVME of every byte); the others only copy.
The sink of the first table is nginx answering PUTs, the fastest there is; that of the others is ``rclone serve s3``.
All run on one machine with their servers, in turns; what counts are the ratios within one run.
"""

import os
import shutil
import statistics
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.federation.peers import PeerMissing
from benchmarks.harness import Row
from benchmarks.harvest.peers import PEERS, Peer, lakegate
from benchmarks.harvest.servers import BUCKET, data_of, nginx, rclone_s3, work_folder
from benchmarks.harvest.work import Cost, Job, ProgramFailed

LARGE, SMALL = 50_000_000, 100_000
MOST_MEMORY = 128 << 20


def run(*, quick: bool = False) -> list[Row]:
    """Measure; return the rows with their targets."""
    rounds = 1 if quick else 3
    large, small = (4, 200) if quick else (20, 5_000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as parent:
        folder = work_folder(Path(parent))
        try:
            with nginx(folder, dav=False) as source, nginx(folder, dav=True) as sink:
                origin, kept = data_of(source, folder), data_of(sink, folder)
                for name, count, size in (("large/", large, LARGE), ("small/", small, SMALL)):
                    _fill(origin / name, count, size)
                    job = Job(
                        kind="http", source=f"{source.url}/{BUCKET}", endpoint=sink.url, count=count, size=size,
                        at_once=4 if size == LARGE else 32, prefix=name,
                    )  # fmt: skip
                    rows += _judged(job, _compared(job, folder, rounds, kept), "HTTP to nginx")
                with rclone_s3(folder) as first, rclone_s3(folder) as second:
                    job = Job(
                        kind="http", source=f"{source.url}/{BUCKET}", endpoint=first.url, count=large, size=LARGE,
                        at_once=4, prefix="large/",
                    )  # fmt: skip
                    rows += _told(job, _compared(job, folder, 1, None), "HTTP to S3")
                    between = Job(
                        kind="s3", source=first.url, endpoint=second.url, count=large, size=LARGE, at_once=4,
                        prefix="large/",
                    )  # fmt: skip
                    rows += _told(between, _compared(between, folder, 1, None), "S3 to S3")
        finally:
            shutil.rmtree(folder)
    return rows


def _fill(folder: Path, count: int, size: int) -> None:
    folder.mkdir(parents=True)
    body = os.urandom(size)
    for number in range(count):
        (folder / f"o{number}").write_bytes(body[number:] + body[:number])


def _compared(job: Job, folder: Path, rounds: int, kept: Path | None) -> dict[str, Cost]:
    """Run everyone in turns; return the medians. What was written is thrown away after each."""
    samples: dict[str, list[Cost]] = {}
    everyone: dict[str, Peer] = {"lakegate": lakegate, **PEERS}
    for _ in range(rounds):
        for name, program in list(everyone.items()):
            try:
                samples.setdefault(name, []).append(program(job, folder))
            except (PeerMissing, ProgramFailed) as error:
                if name == "lakegate":
                    raise
                Console(stderr=True).print(f"{name} is left out: {error}", style="yellow")
                del everyone[name]
            if kept is not None:
                _emptied(kept)
    return {name: _median(costs) for name, costs in samples.items() if costs}


def _emptied(folder: Path) -> None:
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        seconds=statistics.median(cost.seconds for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        memory=max(cost.memory for cost in costs),
    )


def _judged(job: Job, costs: dict[str, Cost], where: str) -> list[Row]:
    """Return the rows that have targets (of the large objects), and the others as they are."""
    rows = _told(job, costs, where)
    ours = costs["lakegate"]
    if job.size == LARGE:
        for name, least in (("obstore", 0.9), ("rclone", 0.8), ("boto3", 3.0)):
            if name in costs:
                ratio = ours.speed(job) / costs[name].speed(job)
                rows.append(_row(job, where, f"MB/s beside {name}", (ours.speed(job), costs[name].speed(job)), name, ratio, f">= {least}", ratio >= least))  # fmt: skip # noqa: E501
        if "rclone" in costs:
            ratio = ours.cpu / costs["rclone"].cpu
            per_gb = (ours.cpu / job.gigabytes, costs["rclone"].cpu / job.gigabytes)
            rows.append(_row(job, where, "CPU s/GB beside rclone", per_gb, "rclone", ratio, "<= 1.5", ratio <= 1.5))
    ratio = ours.memory / MOST_MEMORY
    rows.append(_row(job, where, "MB of memory", (ours.memory / 1e6, None), "", ratio, "<= 128 MiB", ratio <= 1))
    return rows


def _told(job: Job, costs: dict[str, Cost], where: str) -> list[Row]:
    ours = costs["lakegate"].speed(job)
    return [
        _row(job, where, f"{name}: {cost.cpu / job.gigabytes:.2f} CPU s/GB, {cost.memory >> 20} MiB",
             (ours, cost.speed(job)), name, ours / cost.speed(job), "told", True)
        for name, cost in costs.items()
    ]  # fmt: skip


def _row(  # noqa: PLR0913, PLR0917 - the columns of a table
    job: Job,
    where: str,
    what: str,
    values: tuple[float, float | None],
    peer: str,
    ratio: float,
    target: str,
    held: bool,  # noqa: FBT001
) -> Row:
    work = f"{job.count} x {job.size / 1e6:g} MB, {where}: {what}"
    return Row(
        work=work, unit="", ours=values[0], peer=values[1], peer_name=peer, ratio=ratio, target=target, held=held
    )
