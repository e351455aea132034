"""Harvests beside other programs that copy to S3: 20 objects of 50 MB and 5,000 of 100 kB, HTTP to S3 and S3 to S3.

Ours is the harvester whole (journal on disk, quota, catalogue, CRC-64/NVME of every byte); the others only copy.
One sink is nginx answering PUTs, the fastest there is; the other is ``rclone serve s3``, which bounds everybody. One
object from a source that gives so much to each connection shows what parts side by side bring.
All run on one machine with their servers, in turns forwards and backwards; what counts are the quotients within each
round. Who is nobody's measure runs once.
"""

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.federation.peers import PeerMissing
from benchmarks.harness import Row
from benchmarks.harvest.peers import PEERS, Peer, lakegate, shared
from benchmarks.harvest.servers import BUCKET, data_of, nginx, rclone_s3, work_folder
from benchmarks.harvest.work import Cost, Job, ProgramFailed, name_of

LARGE, SMALL, ONE = 50_000_000, 100_000, 200_000_000
SLOW = "25m"
"""Bytes a second that a source gives to one connection, as nginx spells them: what a far hub is like."""

MOST_MEMORY = 128_000_000
BESIDE = {"obstore": 0.9, "rclone": 0.8}
"""How much of others' speed is wanted at S3 services."""
BESIDE_AT_SINK = {"obstore": 0.8, "rclone": 0.6}
"""How much of it where nginx takes all that comes, and looks at nothing: there, one thread competes with many."""
ROUNDS = 7
BOTO3_TIMES = 3.0
MEASURES = ("lakegate", "obstore", "rclone", "boto3")
"""Those that targets are about. Many small objects boto3, several times as slow, copies in the first round only."""

Samples = dict[str, list[Cost] | str]
"""What each program cost, round by round, or why it is left out."""


def run(*, quick: bool = False) -> list[Row]:
    """Measure; return the rows with their targets."""
    large, small = (4, 200) if quick else (20, 5_000)
    rounds = 1 if quick else ROUNDS
    works = (_Work("large/", large, LARGE, 4, rounds), _Work("small/", small, SMALL, 32, rounds))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as parent:
        folder = work_folder(Path(parent))
        try:
            with nginx(folder, dav=False) as source:
                origin = data_of(source, folder)
                for work in works:
                    _fill(origin / work.prefix, work.count, work.size)
                address = f"{source.url}/{BUCKET}"
                for work in works:
                    rows += _to_nginx(folder, work, address)
                for work in works:
                    rows += _to_s3(folder, work, address)
                    rows += _between(folder, work, origin / work.prefix)
            one = _Work("one/", 1, ONE, 1, 1)
            with nginx(folder, dav=False, limit=SLOW) as source:
                _fill(data_of(source, folder) / one.prefix, one.count, one.size)
                rows += _from_slow(folder, one, f"{source.url}/{BUCKET}")
        finally:
            shutil.rmtree(folder)
    return rows


@dataclass(frozen=True)
class _Work:
    """So many objects of one size, below a prefix, so many at once; and how often they are carried."""

    prefix: str
    count: int
    size: int
    at_once: int
    rounds: int

    def job(self, kind: str, source: str, endpoint: str) -> Job:
        return Job(
            kind=kind, source=source, endpoint=endpoint, count=self.count, size=self.size, at_once=self.at_once,
            prefix=self.prefix,
        )  # fmt: skip


def _to_nginx(folder: Path, work: _Work, source: str) -> list[Row]:
    with nginx(folder, dav=True) as sink:
        job = work.job("http", source, sink.url)
        return _judged(job, _compared(job, folder, work.rounds, data_of(sink, folder)), "HTTP to nginx", BESIDE_AT_SINK)


def _to_s3(folder: Path, work: _Work, source: str) -> list[Row]:
    with rclone_s3(folder) as target:
        job = work.job("http", source, target.url)
        return _judged(job, _compared(job, folder, work.rounds, None), "HTTP to S3", BESIDE)


def _between(folder: Path, work: _Work, held: Path) -> list[Row]:
    """Copy from one S3 service, which holds the same files, to another."""
    with rclone_s3(folder, holding=held) as first, rclone_s3(folder) as second:
        job = work.job("s3", first.url, second.url)
        return _judged(job, _compared(job, folder, work.rounds, None), "S3 to S3", BESIDE)


def _from_slow(folder: Path, work: _Work, source: str) -> list[Row]:
    with rclone_s3(folder) as target:
        job = work.job("http", source, target.url)
        return _told(job, _compared(job, folder, work.rounds, None), "slow connections to S3")


def _fill(folder: Path, count: int, size: int) -> None:
    folder.mkdir(parents=True)
    body = os.urandom(size)
    for number in range(count):
        path = folder / name_of(number)
        path.parent.mkdir(parents=True)
        path.write_bytes(body[number:] + body[:number])


def _compared(job: Job, folder: Path, rounds: int, kept: Path | None) -> Samples:
    """Run everyone in turns, ours and the narrowest target next to each other. What was written is thrown away."""
    samples: Samples = {}
    beside: dict[str, Peer] = {"lakegate with a process beside": shared} if job.size == SMALL else {}
    everyone: dict[str, Peer] = {"lakegate": lakegate, **PEERS, **beside}
    measures = MEASURES if job.size == LARGE else MEASURES[:-1]
    for number in range(rounds):
        turn = [name for name in everyone if (number == 0 or name in measures) and not _is_absent(samples, name)]
        for name in turn if number % 2 == 0 else reversed(turn):
            try:
                _costs(samples, name).append(everyone[name](job, folder))
            except (PeerMissing, ProgramFailed) as error:
                if name == "lakegate":
                    raise
                samples[name] = str(error)
            if kept is not None:
                _emptied(kept)
    return samples


def _is_absent(samples: Samples, name: str) -> bool:
    return isinstance(samples.get(name), str)


def _costs(samples: Samples, name: str) -> list[Cost]:
    """Return what a program cost; nothing, where it is left out."""
    costs = samples.setdefault(name, [])
    return costs if isinstance(costs, list) else []


def _quotient(ours: list[Cost], theirs: list[Cost], what: Callable[[Cost], float]) -> float:
    """Return the median of ours over theirs, each of the same round, as far as there are both."""
    return statistics.median(what(our) / what(their) for our, their in zip(ours, theirs, strict=False))


def _emptied(folder: Path) -> None:
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        seconds=statistics.median(cost.seconds for cost in costs),
        cpu=statistics.median(cost.cpu for cost in costs),
        memory=max(cost.memory for cost in costs),
        count=costs[0].count,
    )


def _judged(job: Job, samples: Samples, where: str, beside: Mapping[str, float]) -> list[Row]:
    """Return the rows that have targets, and the others as they are."""
    rows = _told(job, samples, where)
    all_ours = _costs(samples, "lakegate")
    ours = _median(all_ours)

    def speed(cost: Cost) -> float:
        return cost.speed(job)

    for name, least in {**beside, "boto3": _least_beside_boto3(job, samples, beside)}.items():
        if theirs := _costs(samples, name):
            ratio = _quotient(all_ours, theirs, speed)
            values = (speed(ours), speed(_median(theirs)))
            rows.append(_row(job, where, f"MB/s beside {name}", values, name, ratio, f">= {least:.2g}", ratio >= least))
    if rclones := _costs(samples, "rclone"):
        ratio = _quotient(all_ours, rclones, lambda cost: cost.cpu)
        per_gb = (ours.cpu / job.gigabytes, _median(rclones).cpu / job.gigabytes)
        rows.append(_row(job, where, "CPU s/GB beside rclone", per_gb, "rclone", ratio, "<= 1.5", ratio <= 1.5))
    ratio = ours.memory / MOST_MEMORY
    rows.append(_row(job, where, "MB of memory", (ours.memory / 1e6, None), "", ratio, "<= 128 MB", ratio <= 1))
    return rows


def _least_beside_boto3(job: Job, samples: Samples, beside: Mapping[str, float]) -> float:
    """Return how many times boto3's speed is wanted: three times, or what the other targets come to.

    The servers run on the same machine. With few cores they take most of them, and bound everybody: where not even
    the fastest program is three times as fast as boto3, it says nothing of us that we are not.
    """
    boto3 = _costs(samples, "boto3")
    others = [(least, each) for name, least in beside.items() if (each := _costs(samples, name))]
    if not boto3 or not others:
        return BOTO3_TIMES
    wanted = max(least * _quotient(each, boto3, lambda cost: cost.speed(job)) for least, each in others)
    return min(BOTO3_TIMES, wanted)


def _told(job: Job, samples: Samples, where: str) -> list[Row]:
    speed = _median(_costs(samples, "lakegate")).speed(job)
    rows: list[Row] = []
    for name, costs in samples.items():
        if isinstance(costs, str):
            rows.append(_row(job, where, f"{name} is left out: {costs[:160]}", (speed, None), "", 0.0, "told", True))
            continue
        cost = _median(costs)
        memory = f", {cost.memory >> 20} MiB" if cost.memory else ""
        what = f"{name}: {cost.cpu / cost.gigabytes(job):.2f} CPU s/GB{memory}"
        what += f" (of {cost.count} objects)" if cost.count else ""
        rows.append(_row(job, where, what, (speed, cost.speed(job)), name, speed / cost.speed(job), "told", True))
    return rows


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
