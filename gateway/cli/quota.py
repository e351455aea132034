"""``lakegate quota``: where one stands, what would be refused, what happened."""

import json
import math
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.table import Table

from gateway.cli import quota_admin, tables
from gateway.cli.amounts import read_line, seconds_option, window, written
from gateway.cli.remote import EXIT_REFUSED, Remote, print_json, remote_options


@click.group()
def quota() -> None:
    """Show quotas: how much is used, whether something would fit, what was charged; change them as an administrator."""


@quota.command()
@click.argument("group", required=False)
@remote_options
def show(remote: Remote, as_json: bool, group: str | None) -> None:
    """Show where you stand, or where GROUP (such as root/org/team) stands.

    A policy in mode `shadow` is counted, and refuses nothing.
    """
    answer = remote.call("GET", f"/quotas/{quote(group)}" if group else "/quotas/me")
    if as_json:
        print_json(answer)
        return
    table = Table("policy", "holder", "edge", "kind", "used", "reserved", "limit", "available", "on exceed", "mode")
    for each in answer["quotas"]:
        amounts = [written(each[name], each["unit"]) for name in ("used", "reserved")]
        limit = written(each["limit"], each["unit"]) + window(each["window_seconds"], each["reset"])
        available = written(each["available"], each["unit"])
        names = [each[name] for name in ("policy", "holder", "edge", "kind")]
        table.add_row(*names, *amounts, limit, available, each["on_exceed"], each["mode"])
    tables.show(table, empty="No quota binds you here." if group is None else f"No quota binds {group}.")


@quota.command()
@click.argument("wanted", nargs=-1, required=True, metavar="RESOURCE=AMOUNT[@EDGE]...")
@click.option("--group", help="The group that would pay; by default your charging group.")
@remote_options
def check(remote: Remote, as_json: bool, wanted: tuple[str, ...], group: str | None) -> None:
    """Ask whether something would fit now, without taking it. Exits with 3 where it would be refused.

    For example: lakegate quota check cores=8@edge-a memory=32Gi@edge-a
    """
    lines = [read_line(text) for text in wanted]
    headers = {"X-Lakegate-Group": group} if group else {}
    answer = remote.call("POST", "/quotas/check", {"lines": lines}, headers)
    if as_json:
        print_json(answer)
    elif answer["fits"]:
        click.echo(f"It fits; {answer['group']} would pay.")
    else:
        click.echo(f"It would be refused: {answer['refusal']['detail']}")
    if not answer["fits"]:
        raise click.exceptions.Exit(EXIT_REFUSED)


@quota.command()
@click.argument("group")
@click.option("--after", default=0, show_default=True, help="Begin after this number of the history.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="Entries per page.")
@click.option("--all", "everything", is_flag=True, help="Follow all pages to the end.")
@click.option("--ndjson", is_flag=True, help="Print one JSON object a line, as pages come.")
@click.option("--event", help="Only these, with commas: reserve,commit,release,expire,give-back,policy,grant.")
@click.option("--user", help="Only this user's.")
@click.option("--resource", help="Only of this resource.")
@click.option("--edge", help="Only at this edge.")
@click.option("--since", help="From this time on, as 2026-01-31T00:00:00Z.")
@click.option("--until", help="Up to this time.")
@remote_options
def history(
    remote: Remote, as_json: bool, group: str, after: int, everything: bool, ndjson: bool, **query: Any
) -> None:
    """Show what GROUP and those below it reserved, used and gave back, the oldest first."""
    entries: list[dict[str, Any]] = []
    while True:
        wanted = {name: value for name, value in query.items() if value is not None}
        page = remote.call("GET", f"/quotas/{quote(group)}/history?{urlencode({'after': after, **wanted})}")
        if ndjson:
            click.echo("".join(json.dumps(entry) + "\n" for entry in page["entries"]), nl=False)
        else:
            entries += page["entries"]
        if not page["links"] or not everything:
            break
        after = page["entries"][-1]["seq"]
    if as_json:
        print_json({"group": group, "entries": entries, "links": page["links"]})
    elif not ndjson:
        _show_history(entries)
        if page["links"]:
            click.echo(f"More: lakegate quota history {group} --after {entries[-1]['seq']}", err=True)


def _show_history(entries: list[dict[str, Any]]) -> None:
    table = Table("number", "time", "event", "group", "user", "resource", "edge", "amount", "taken", "key", "why")
    for each in entries:
        taken = f"{each['before']:g} -> {each['after']:g}"
        names = [each[name] for name in ("event", "group", "user", "resource", "edge")]
        amount = f"{each['amount']:g}"
        table.add_row(str(each["seq"]), _moment(each["at"]), *names, amount, taken, each["key"], each["why"])
    tables.show(table, empty="Nothing was charged.")


@quota.command()
@click.argument("group")
@click.argument("resource")
@click.option("--last", callback=seconds_option, default="1d", show_default=True, help="How far back, as 12h or 30d.")
@click.option("--step", callback=seconds_option, default="1h", show_default=True, help="Of one point, as 5m or 1d.")
@click.option("--by", default="user,edge", show_default=True, help="A series for each: some of group,user,edge.")
@remote_options
def usage(remote: Remote, as_json: bool, group: str, resource: str, by: str, **span: float) -> None:
    """Show what GROUP took of RESOURCE over time; with --json as series for a plot."""
    until = math.ceil(time.time())  # whole seconds, this one included: what was taken a moment ago counts
    times = {"since": until - int(span["last"]), "until": until, "step": int(span["step"])}
    query = urlencode({"resource": resource, "by": by, **times})
    answer = remote.call("GET", f"/quotas/{quote(group)}/usage?{query}")
    if as_json:
        print_json(answer)
        return
    names = [name for name in ("group", "user", "edge") if name in by.split(",")]
    table = Table("time", *names, "used", "held", "peak")
    rows = [(point, each) for each in answer["series"] for point in each["points"]]
    for point, each in sorted(rows, key=lambda row: row[0][0]):
        amounts = [written(amount, answer["unit"]) for amount in point[1:]]
        table.add_row(_moment(point[0]), *(each[name] for name in names), *amounts)
    tables.show(table, empty="Nothing was taken.")


@quota.command()
@remote_options
def waiting(remote: Remote, as_json: bool) -> None:
    """Show who waits for quota, in order; of others only that they wait."""
    answer = remote.call("GET", "/quotas/waiting")
    if as_json:
        print_json(answer)
        return
    table = Table("position", "group", "since", "user", "wanted", "expected")
    for each in answer["waiting"]:
        wanted = ", ".join(f"{line['resource']}={line['amount']:g}@{line['edge']}" for line in each.get("lines", []))
        row = [str(each["position"]), each["group"], each["since"], each.get("user", ""), wanted]
        table.add_row(*row, each.get("expected_at") or "")
    tables.show(table, empty="Nobody waits.")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


for command in quota_admin.COMMANDS:
    quota.add_command(command)
