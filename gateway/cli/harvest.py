"""``lakegate harvest``: orders copies into an edge's bucket, and follows them."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from gateway.cli.harvest_acts import add_acts
from gateway.cli.harvest_rule import rule
from gateway.cli.moments import spelled_out
from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, CommandFailed, Remote, print_json, remote_options
from gateway.cli.tables import show
from gateway.placement.rank import size

_ENDED = ("successful", "failed", "dismissed")
_EXIT_CODES = {"successful": 0, "failed": EXIT_FAILED, "dismissed": EXIT_REFUSED}
_POLL_SECONDS = 0.5

Command = Callable[..., Any]


@click.group()
def harvest() -> None:
    """Bring items into a bucket next to compute: estimate, order, follow, cancel."""


def _wish_options(command: Command) -> Command:
    """Add what an order and an estimate ask for; the command receives ``wish``, the inputs of the process."""
    options = [
        click.option("--target", required=True, help="The edge whose bucket receives the copies."),
        click.option("--collections", help="Collection ids, separated by commas."),
        click.option("--ids", help="Item ids, separated by commas."),
        click.option("--bbox", help="west,south,east,north in degrees."),
        click.option("--datetime", "datetime", help="An instant or interval, as 2026-04-01/2026-05-31."),
        click.option("--filter", "filter", help='A CQL2 text filter, as "eo:cloud_cover < 20".'),
        click.option("--assets", help="Asset keys, separated by commas; all where left out."),
        click.option("--prefix", help="A folder below your group's own; the common pool where left out."),
        click.option("--lifetime", help="How long the copies are counted on, as P90D; for ever where left out."),
        click.option("--temporary", is_flag=True, default=None, help="In no catalogue, read by signed links."),
        click.option("--priority", type=click.IntRange(1, 5), help="5 is the most urgent."),
        click.option(
            "--integrity", type=click.Choice(["require", "prefer", "size"]), default="prefer", show_default=True,
            help="What counts as proof of a copy: a checksum, one where there is one, or the size.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _inputs(wish: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in wish.items() if value is not None}
    for name in ("collections", "ids", "assets"):
        if name in given:
            given[name] = given[name].split(",")
    if "datetime" in given:
        given["datetime"] = spelled_out(given["datetime"])
    if "bbox" in given:
        try:
            given["bbox"] = [float(part) for part in given["bbox"].split(",")]
        except ValueError as error:
            raise click.BadParameter("expected numbers, as 11.0,48.0,12.0,49.0", param_hint="--bbox") from error
    return {"inputs": given}


@harvest.command()
@_wish_options
@remote_options
@click.pass_context
def estimate(context: click.Context, /, remote: Remote, as_json: bool, **wish: Any) -> None:
    """Say what an order would copy and whether there is quota for it; nothing is written. Exit code 3 if not."""
    answer = remote.call("POST", "/processes/harvest-estimate/execution", _inputs(wish))
    if as_json:
        print_json(answer)
    else:
        said = f"{answer['items']} items, {answer['objects']} objects, {size(answer['bytes'])} to copy"
        guessed = f"; {answer['unknown']} objects tell no size and are guessed" if answer["unknown"] else ""
        click.echo(f"{said}; {answer['present']} objects are there already{guessed}")
        for failure in answer["skipped"]:
            click.echo(f"cannot be copied: {failure['item_id']} {failure['asset']}: {failure['reason']}", err=True)
        if answer["refusal"]:
            click.echo(f"There is no quota for it: {answer['refusal']}", err=True)
    if answer["refusal"]:
        context.exit(EXIT_REFUSED)


@harvest.command()
@_wish_options
@click.option("--key", help="An idempotency key: the same key and order give the same job.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end.")
@remote_options
@click.pass_context
def order(context: click.Context, /, remote: Remote, as_json: bool, key: str | None, wait: bool, **wish: Any) -> None:
    """Order copies. Exit code 0 if all are there, 1 if some failed, 3 if refused or dismissed."""
    headers = {"Prefer": "respond-async"} | ({"Idempotency-Key": key} if key else {})
    job = remote.call("POST", "/processes/harvest/execution", _inputs(wish), headers)
    if not as_json:
        click.echo(f"job {job['jobID']} accepted", err=True)
    if wait:
        job = _followed(remote, job)
    _end(context, remote, job, as_json=as_json, ended=wait)


@harvest.command()
@click.argument("job_id")
@click.option("--wait", is_flag=True, help="Follow the job to its end.")
@remote_options
@click.pass_context
def status(context: click.Context, /, remote: Remote, as_json: bool, job_id: str, wait: bool) -> None:
    """Say how a job is."""
    job = remote.call("GET", f"/jobs/{quote(job_id, safe='')}")
    if wait:
        job = _followed(remote, job)
    _end(context, remote, job, as_json=as_json, ended=wait)


@harvest.command(name="list")
@click.option("--limit", default=20, show_default=True, help="The latest so many jobs.")
@click.option("--status", "statuses", help="Only these, separated by commas: accepted, running, successful, ...")
@remote_options
def list_jobs(remote: Remote, as_json: bool, limit: int, statuses: str | None) -> None:
    """List your group's jobs, the latest first."""
    asked = {"limit": str(limit)} | ({"status": statuses} if statuses else {})
    jobs = remote.call("GET", f"/jobs?{urlencode(asked)}")["jobs"]
    if as_json:
        print_json(jobs)
        return
    table = Table("job", "status", "%", "target", "created", "message")
    for job in jobs:
        target = job["harvest"]["target"]
        table.add_row(job["jobID"], job["status"], str(job["progress"]), target, job["created"], job["message"])
    show(table, empty="No jobs.")


@harvest.command()
@click.argument("job_id")
@remote_options
def cancel(remote: Remote, as_json: bool, job_id: str) -> None:
    """Cancel a job: what is whole already stays, the rest is discarded."""
    job = remote.call("DELETE", f"/jobs/{quote(job_id, safe='')}")
    if as_json:
        print_json(job)
    else:
        click.echo(f"job {job['jobID']} {job['status']}: {job['message']}")


def _followed(remote: Remote, job: dict[str, Any]) -> dict[str, Any]:
    """Poll a job to its end, with a bar on standard error."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(job["status"])
        while True:
            progress = job["harvest"]
            bar.update(
                task, description=job["status"], total=progress["bytes"] or None, completed=progress["bytes_done"]
            )
            if job["status"] in _ENDED:
                return job
            time.sleep(_POLL_SECONDS)
            job = remote.call("GET", f"/jobs/{job['jobID']}")


def _end(context: click.Context, remote: Remote, job: dict[str, Any], *, as_json: bool, ended: bool) -> None:
    """Print how a job stands, with its failures; exit by its status where its end was waited for."""
    if as_json:
        print_json(job)
    else:
        click.echo(f"job {job['jobID']} {job['status']}: {job['message']}")
        if job["status"] == "failed":
            _tell_failures(remote, job)
    if ended:
        context.exit(_EXIT_CODES[job["status"]])


def _tell_failures(remote: Remote, job: dict[str, Any]) -> None:
    try:
        results = remote.call("GET", f"/jobs/{job['jobID']}/results")
    except CommandFailed as error:
        if error.problem is None or "objects" not in error.problem:
            raise
        results = error.problem  # what a failed job brought all the same stands beside the reason
    failed = [each for each in results["objects"] if each["reason"]]
    for each in [*failed, *results["failures"]]:
        click.echo(f"{each['collection']} {each['item_id']} {each['asset']}: {each['reason']}", err=True)


harvest.add_command(rule)
add_acts(harvest, "/jobs")
